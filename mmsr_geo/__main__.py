"""`python -m mmsr_geo`: the command."""

from mmsr_geo.cli.main import main

if __name__ == "__main__":
    main()
