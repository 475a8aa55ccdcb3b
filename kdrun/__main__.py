"""`python -m kdrun`."""

from kdrun.cli import main

if __name__ == "__main__":
    main()
