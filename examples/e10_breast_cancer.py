"""Benign or malignant: the same cross-validation with scikit-learn's classifier and mlpfast's.

The import is another, and the time. The probabilities are the same.
"""

import time

import numpy as np
from sklearn import neural_network
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mlpfast.sklearn


def main(backend=None):
    """Return the accuracy of each fold, all probabilities and the seconds, for both."""
    X, y = load_breast_cancer(return_X_y=True)  # (569, 30), and 1 for benign
    classifiers = {
        "scikit-learn": neural_network.MLPClassifier(max_iter=500, random_state=0),
        "mlpfast": mlpfast.sklearn.MLPClassifier(max_iter=500, random_state=0, backend=backend),
    }
    folds = StratifiedKFold(5)
    accuracies, probabilities, seconds = {}, {}, {}
    for name, classifier in classifiers.items():
        model = make_pipeline(StandardScaler(), classifier)
        begin = time.perf_counter()
        # Those of each row come from the fit that has not seen it.
        p = cross_val_predict(model, X, y, cv=folds, method="predict_proba")
        seconds[name] = time.perf_counter() - begin
        probabilities[name] = p
        right = p.argmax(axis=1) == y
        accuracies[name] = [right[rows].mean() for _, rows in folds.split(X, y)]
        figures = " ".join(f"{accuracy:.4f}" for accuracy in accuracies[name])
        print(f"{name:<12}  accuracy of each fold {figures}  {seconds[name]:.2f} s")
    difference = np.abs(probabilities["mlpfast"] - probabilities["scikit-learn"]).max()
    print(f"largest difference of two probabilities {difference:.0e}")
    return {
        "accuracies": accuracies,
        "probabilities": probabilities,
        "difference": difference,
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()
