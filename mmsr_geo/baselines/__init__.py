"""What people use without this package: targets from the source alone, or by other methods; arrays in, arrays out."""
