"""The store: small protocols in `base`, two adapters (`sqlite`, `redis`), key names in `keys`."""
