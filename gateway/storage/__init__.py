"""The store: what one fleet shares, behind small protocols. Nothing here does I/O at import.

    base        the protocols and their values; it has never heard of a prompt
    create      which adapter: `create_store("sqlite", "data")`, `create_store("redis", "redis://…")`
    keys        the names of everything the application keeps
    codec       domain values to bytes and back
    limits      the time limit and the breaker of every call; revisions that went back

    sqlite      one machine, any number of processes: a facade over
                sqlite_file (one file, its threads), sqlite_documents and sqlite_evidence (the statements)
    redis       a fleet: a facade over lua/ (one operation a file) and
                redis_client (URLs, Sentinel, what the start checks)

Adapters do not import each other; tests/contract runs one suite on both.
"""
