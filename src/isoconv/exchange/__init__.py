"""Models in and out: files of other libraries, read and written without those libraries."""
