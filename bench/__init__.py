"""Speed beside other libraries: ratios in one run, never a time on its own."""
