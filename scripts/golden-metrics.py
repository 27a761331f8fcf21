"""Writes test/fixtures/eval/metrics.json: predictions, labels, and the scores that scikit-learn and SciPy give them.

Usage: python scripts/golden-metrics.py   (needs numpy, scikit-learn, scipy)
"""
import json
import math
import pathlib
import warnings

import numpy
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

warnings.simplefilter("ignore")
random = numpy.random.default_rng(7)


def classes(name, predictions, labels):
    predictions, labels = [int(x) for x in predictions], [int(x) for x in labels]
    scores = {
        "accuracy": accuracy_score(labels, predictions),
        "f1": f1_score(labels, predictions, labels=[1], average="macro", zero_division=0),
        "matthews": matthews_corrcoef(labels, predictions),
    }
    return {"name": name, "kind": "classes", "predictions": predictions, "labels": labels, "scores": scores}


def numbers(name, predictions, labels):
    predictions, labels = [float(x) for x in predictions], [float(x) for x in labels]
    scores = {"pearson": pearsonr(predictions, labels)[0], "spearman": spearmanr(predictions, labels)[0]}
    scores = {key: None if math.isnan(value) else float(value) for key, value in scores.items()}
    return {"name": name, "kind": "numbers", "predictions": predictions, "labels": labels, "scores": scores}


truth = random.integers(0, 2, 60)
likely = numpy.where(random.random(60) < 0.8, truth, 1 - truth)
skewed = (random.random(80) < 0.1).astype(int)
gold = random.integers(0, 26, 50) / 5
cases = [
    classes("mostly right", likely, truth),
    classes("random", random.integers(0, 2, 60), truth),
    classes("all right", truth, truth),
    classes("all wrong", 1 - truth, truth),
    classes("constant 1", numpy.ones(60), truth),
    classes("constant 0", numpy.zeros(60), truth),
    classes("labels of one class", likely, numpy.ones(60)),
    classes("no positive label", likely, numpy.zeros(60)),
    classes("both constant and equal", numpy.zeros(5), numpy.zeros(5)),
    classes("both constant and different", numpy.ones(5), numpy.zeros(5)),
    classes("rare positives", (random.random(80) < 0.15).astype(int), skewed),
    classes("three classes", random.integers(0, 3, 70), random.integers(0, 3, 70)),
    classes("one example", [1], [1]),
    numbers("noisy", gold + random.normal(0, 0.7, 50), gold),
    numbers("ties on both sides", numpy.round(gold + random.normal(0, 1, 50)), gold),
    numbers("opposite", -gold, gold),
    numbers("constant predictions", numpy.full(50, 2.5), gold),
    numbers("constant labels", gold, numpy.full(50, 1.0)),
    numbers("two values", [1.0, 2.0], [5.0, 3.0]),
    numbers("far from zero", gold * 1e-3 + 1e6, gold),
    numbers("not linear", numpy.exp(gold), gold),
]
target = pathlib.Path(__file__).parent.parent / "test/fixtures/eval/metrics.json"
target.parent.mkdir(parents=True, exist_ok=True)
target.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
