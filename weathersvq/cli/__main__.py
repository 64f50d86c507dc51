"""`python -m weathersvq.cli`."""

from weathersvq.cli.program import main

if __name__ == "__main__":
    main()
