"""What would stop a study is an error before its first kernel starts."""

import sys
from subprocess import run

import pytest

from skillkit.core.errors import SkillkitError
from skillkit.studies import run_study
from skillkit.studies.params import validate
from skillkit.studies.preflight import preflight
from tests.helpers import REPOSITORY

WORDS = """
path: reviews.csv
text: review
label: stars
verbalizer: [incomprehensible, good]
"""


@pytest.fixture
def reviews(tmp_path):
    rows = "".join(f"a text,{number % 2}\n" for number in range(40))
    (tmp_path / "reviews.csv").write_text(f"review,stars\n{rows}")
    (tmp_path / "reviews.yaml").write_text(WORDS)
    return str(tmp_path / "reviews.yaml")


@pytest.mark.parametrize("notebook, values, sentence", [
    ("01_prompt_tuning", {"tasks": ["world/moovies"]}, "no task is called 'world/moovies'"),
    ("01_prompt_tuning", {"backbone": "embedded/robertta"}, "no backbone 'embedded/robertta' is shipped"),
    ("01_prompt_tuning", {"backbone": "no/such/folder"}, "there is no folder no/such/folder"),
    ("06_transferability", {"start_targets": ["world/hotel"]}, "no task is called 'world/hotel'"),
    ("06_transferability", {"project_to": ["embedded/t6"]}, "no backbone 'embedded/t6' is shipped"),
    ("08_adversarial_robustness", {"attacks": ["typo"], "neuron_attack": "typo"}, "typo"),
    ("08_adversarial_robustness", {"views": [{"task": "world/movies", "adversarial": "none/such"}]}, "none/such"),
    ("01_prompt_tuning", {"device": "warp:3"}, "device 'warp:3' cannot be used here"),
    ("01_prompt_tuning", {"prompt_length": 250}, "leaves . tokens for the text, .* use a shorter prompt"),
    ("06_transferability", {"layout": "suffix"}, "layout 'suffix' is not for masked models like embedded/roberta"),
    ("07_knowledge_neurons", {"source": "no/facts"}, "no/facts"),
])  # fmt: skip
def test_names_that_are_not_there(notebook, values, sentence):
    with pytest.raises(SkillkitError, match=sentence):
        preflight([validate(notebook, values)])


def test_a_label_word_of_two_tokens_is_told_before_any_kernel(reviews, tmp_path, monkeypatch):
    monkeypatch.setattr("skillkit.studies.runner.Scheduling", lambda *_: pytest.fail("a kernel was to start"))
    (tmp_path / "study.yaml").write_text(f"notebooks: {{01_prompt_tuning: {{tasks: [{reviews}]}}}}")
    with pytest.raises(SkillkitError, match="'incomprehensible' .* is not one token for embedded/roberta"):
        run_study(tmp_path / "study.yaml", tmp_path / "out")


def test_prompts_of_others_need_neither_tasks_nor_models():
    preflight([validate("06_transferability", {"published": "prompts", "tasks": ["never/looked-at"]})])


@pytest.mark.slow
def test_the_own_study_is_looked_through_at_once():
    code = (
        "import sys; from skillkit.studies import load_study; from skillkit.studies.preflight import preflight; "
        "preflight(load_study('params/embedded.yaml').notebooks.values()); sys.exit('torch' in sys.modules)"
    )
    assert run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0
