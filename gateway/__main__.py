"""`python -m gateway` is `prompt-canary`."""

from gateway.cli import main

if __name__ == "__main__":
    main()
