"""Small data sets out of packages, trained on with the library's defaults and beside PyTorch."""
