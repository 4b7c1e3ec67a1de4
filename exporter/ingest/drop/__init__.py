"""Drop directories: files of ids are found, read, tracked and archived."""
