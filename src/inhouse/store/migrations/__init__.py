"""Schema migrations, one file per step in `versions`, run by `store.migrate`."""
