"""Train, score and evaluate a model: python train.py model=clipvae data=jetclass."""

from anomaly_hep.cli import run

if __name__ == "__main__":
    run("train")
