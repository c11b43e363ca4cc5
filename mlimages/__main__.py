"""``python -m mlimages``: the same as the ``mlimages`` command."""

from mlimages.cli import main

if __name__ == "__main__":
    main()
