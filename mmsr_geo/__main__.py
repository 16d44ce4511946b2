"""`python -m mmsr_geo`: the command."""

from mmsr_geo.cli import main

if __name__ == "__main__":
    main()
