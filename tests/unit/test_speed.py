from skillkit.evaluation import evaluate
from skillkit.prompts import random_prompt
from skillkit.speed import speed
from tests.tiny import tiny_backbone
from tests.toys import toy_task


def test_time_and_accuracy_of_a_backbone():
    bb, task = tiny_backbone("roberta"), toy_task(20)
    told, whole = speed(bb, task, random_prompt(bb, 3), repeats=1), evaluate(bb, task, random_prompt(bb, 3))
    assert (told["accuracy"], told["low"], told["high"], told["n"]) == (whole.accuracy, *whole.interval, 20)
    assert told["seconds"] > 0 and told["per_second"] == 20 / told["seconds"]
    assert told["parameters"] == bb.model.num_parameters()
