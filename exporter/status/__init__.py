"""The status page and its JSON version: one model, built from what is in memory.

    snapshot, instruments, limiters, request history --builder--> Overview --page--> HTML | JSON
    store, request history ---------------------------message--> Lookup ---page--> HTML | JSON

Nothing here waits for the provider; only the lookup of one message reads the disk.
"""
