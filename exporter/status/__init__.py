"""What people and programs are shown beside the metrics: one model, made of what is in memory.

    snapshot, instruments, gates, recent requests --watch--> Overview --page--> HTML | JSON
    store, recent requests ---------------------lookup---> Lookup

Nothing here waits for the provider; only the lookup of one message reads the disk.
"""
