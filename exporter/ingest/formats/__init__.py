"""The formats in which ids are handed over, understood record by record."""
