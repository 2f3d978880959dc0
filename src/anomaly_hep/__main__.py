"""`python -m anomaly_hep COMMAND [key=value ...]`."""

from anomaly_hep.cli import main

if __name__ == "__main__":
    main()
