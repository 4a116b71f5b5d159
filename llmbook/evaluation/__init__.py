"""Evaluation: put problems to a model, keep what happens, and say how sure the score is."""

from llmbook.evaluation.harness import evaluate, read_transcript
from llmbook.evaluation.scores import (
    Cost,
    Grade,
    Score,
    cost,
    mcnemar,
    mean_interval,
    plan_score,
    score,
    scores_by_size,
    step_score,
)

__all__ = [
    "Cost",
    "Grade",
    "Score",
    "cost",
    "evaluate",
    "mcnemar",
    "mean_interval",
    "plan_score",
    "read_transcript",
    "score",
    "scores_by_size",
    "step_score",
]
