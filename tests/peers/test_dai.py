"""Attribution, thresholds, suppression, editing and erasing against Hunter-DDM/knowledge-neurons (Dai et al.).

Their scripts are run as they are, on facts of a random BERT whose layer norms have the ε of theirs, 1e-5.
"""

import copy
import json
import re
from collections import Counter

import pytest
import torch

from skillkit.knowledge import ask, attribute, edit, erase_relations, find_neurons, suppress_facts
from skillkit.knowledge.relations import Fact
from tests.peers.harness import agree, backbone
from tests.tiny import WORDS

PHRASES = (
    "the {} is [MASK] .",
    "it is true , the {} is [MASK] !",
    "you watch the {} , it is [MASK] .",
    "the {} : [MASK] .",
    "overall the {} was [MASK] .",
    "what a {} ! it is [MASK] .",
)
ANSWERS = {
    "P1": {"movie": "good", "film": "bad", "story": "great"},
    "P2": {"food": "poor", "place": "nice", "phone": "awful"},
}
LEFT = {"rule": "left", "steps": 20}
# Their names for results: how ours are made.
KINDS = {
    "": LEFT | {"coarse": {"adaptive": 0.2}},
    "base_": {"method": "activation", "coarse": {"adaptive": 0.5}},
}


class Study:
    """Facts, and their scripts in a folder with these facts, and a model with the weights of `bb`."""

    def __init__(self, bb, facts, peer, folder):
        self.bb, self.facts, self.peer, self.folder = bb, facts, peer, folder
        bags = [[[prompt, fact.object, f"{fact.relation}(x)"] for prompt in fact.prompts] for fact in facts]
        (folder / "src").mkdir(exist_ok=True)
        (folder / "data.json").write_text(json.dumps(bags))
        peer.patch.chdir(folder / "src")
        peer.serves(bb)
        custom = peer.module("custom_bert")
        model = custom.BertForMaskedLM(custom.BertConfig.from_dict(bb.model.config.to_dict()))
        lost, _ = model.requires_grad_(False).load_state_dict(bb.model.state_dict(), strict=False)
        assert not lost
        peer.patch.setattr(custom.BertForMaskedLM, "from_pretrained", lambda _: copy.deepcopy(model))

    def script(self, name, *line, **options):
        files = {"data_path": "../data.json", "tmp_data_path": "../bags.json", "output_dir": "../results"}
        self.peer.script(name, *line, bert_model="b", max_seq_length=24, debug=100, **files, **options)

    def find(self):
        """Run the attribution and the search for neurons; what the latter defined."""
        for relation in ANSWERS:
            flags = "--get_ig_gold", "--get_base"
            self.script(
                "1_analyze_mlm.py",
                *flags,
                output_prefix="all",
                batch_size=10,
                num_batch=2,
                pt_relation=relation,
            )
        return self.peer.script("2_get_kn.py")

    def gives(self, neurons):
        """Neurons of facts for their scripts: {relation: [pairs of each fact]}."""
        (self.folder / "kn").mkdir()
        for relation, lists in neurons.items():
            (self.folder / f"kn/kn_bag-{relation}.json").write_text(json.dumps(lists))

    def neurons(self, kind):
        """{relation: [neurons of each fact]}, as they saved them."""
        read = lambda relation: json.loads(
            (self.folder / f"results/kn/{kind}kn_bag-{relation}.json").read_text()
        )
        return {relation: [sorted(map(tuple, one)) for one in read(relation)] for relation in ANSWERS}


def facts_of(phrases):
    made = lambda *words: Fact(*words, tuple(phrase.format(words[2]) for phrase in phrases), "en")
    return [made(name, s, s, answer) for name, answers in ANSWERS.items() for s, answer in answers.items()]


@pytest.fixture
def study(clone, tmp_path):
    peer, bb = clone("Hunter-DDM-knowledge-neurons", "src"), backbone("bert", layer_norm_eps=1e-5)
    return lambda phrases=PHRASES, facts=None: Study(bb, facts or facts_of(phrases), peer, tmp_path)


def test_scores_follow_the_left_rule(study):
    here = study(PHRASES[:2])
    here.find()
    rows = [
        (here.folder / f"results/all-{relation}.rlt.jsonl").read_text().splitlines() for relation in ANSWERS
    ]
    for fact, bag in zip(here.facts, map(json.loads, sum(rows, [])), strict=True):
        for prompt, (_, found) in zip(fact.prompts, bag, strict=True):
            for name, options in ("ig_gold", LEFT), ("base", {"method": "activation"}):
                scores = attribute(here.bb, prompt, fact.object, **options).scores
                given = torch.zeros_like(scores)
                for layer, neuron, value in found[name]:
                    given[layer, neuron] = value
                # They leave out what scores less than a tenth of the highest.
                agree(scores.where(scores >= 0.1 * scores.max(), 0), given, 2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_neurons_of_facts(study, kind):
    here = study()
    here.find()
    ours = find_neurons(here.bb, here.facts, share="adaptive", strict=False, **KINDS[kind])
    for relation, given in here.neurons(kind).items():
        mine = [ours[fact.key] for fact in here.facts if fact.relation == relation]
        print(kind, relation, [one.share for one in mine], list(map(len, given)))
        assert [one.pairs for one in mine] == given and any(given)


def test_neurons_of_fewer_than_three_prompts_are_left_out_there(study):
    here = study(PHRASES[:4])
    parse = here.find()["parse_kn"]
    ours = find_neurons(here.bb, here.facts, share=0.5, strict=False, **KINDS[""])
    for one in ours.values():
        counts = Counter(
            {f"{layer}@{n}": int(one.counts[layer, n]) for layer, n in one.counts.nonzero().tolist()}
        )
        given = {tuple(pair) for pair in parse(counts, 4, 0.5, 3)}
        assert given == {pair for pair in one.pairs if one.counts[pair] >= 3}
    assert any((one.counts == 2).any() for one in ours.values())


def test_suppressing_and_enhancing(study):
    here = study()
    here.find()
    here.script("3_modify_activation.py", kn_dir="../results/kn")  # which reads the neurons of the baseline
    results = json.loads((here.folder / "results/kn/base_modify_activation_rlt.json").read_text())
    ours = find_neurons(here.bb, here.facts, share="adaptive", strict=False, **KINDS["base_"])
    table = suppress_facts(here.bb, here.facts, ours, draws=0, others=0, positions="answer")
    for relation in ANSWERS:
        change = table.summary(by=("kind", "relation")).query("relation == @relation").set_index("kind")
        given = results[f"base_kn_bag-{relation}"]
        ratios = [given["rm_own:ave_delta_ratio"], given["eh_own:ave_delta_ratio"]]
        agree(change.ratio_of_means[["suppress", "enhance"]].to_numpy(), ratios, 2e-5)
        assert min(map(abs, ratios)) > 1e-3


def known_facts(bb):
    """Two relations of three facts, each with one prompt, at which the model says the answer first."""
    prompts = [f"[MASK] {one} {other}" for one in WORDS[::3] for other in WORDS[::7]]
    said = {
        reply.top: prompt for prompt, reply in zip(prompts, ask(bb, prompts, "good")) if reply.top in WORDS
    }
    assert len(said) >= 6
    return [
        Fact(f"P{i // 3}", answer, answer, answer, (said[answer],)) for i, answer in enumerate([*said][:6])
    ]


_EDITED = "".join([  # what they print of one edit
    r"(P\d)-(\d+), # Kneurons: (\d+), example: (.+?) gold: (\S+)\n",
    r".*?tgt label: (\S+), tgt prob: (\S+)\n.*?tgt label: \S+, tgt prob: (\S+)\n",
])  # fmt: skip


def test_editing(study, capsys):
    here = study()
    bb, facts = here.bb, known_facts(here.bb)
    here = study(facts=facts)
    neurons = {
        name: [[(0, 3 + i), (1, n + i), (2, 20 + i)] for i in range(3)] for name, n in (("P0", 7), ("P1", 30))
    }
    # They edit no neuron that is found for more than a tenth of the facts: as many facts without any.
    here.gives({relation: lists + [[]] * 17 for relation, lists in neurons.items()})
    here.script("6_edit_knowledge_sampled.py", kn_dir="../kn", norm_lambda1=1, norm_lambda2=8)
    edits = re.findall(_EDITED, capsys.readouterr().out, re.DOTALL)
    for relation, at, count, prompt, old, new, *given in dict.fromkeys(edits):
        assert int(count) == 3
        before = ask(bb, prompt, new).probability
        with edit(bb, neurons[relation][int(at)], new, old):
            after = ask(bb, prompt, new).probability
        agree([before, after], list(map(float, given)), 2e-5)
    assert len(edits) == 20


def test_erasing_a_relation(study, capsys):
    here = study()
    bb, facts = here.bb, known_facts(here.bb)
    here, found = study(facts=facts), find_neurons(bb, facts, coarse={"adaptive": 0.5}, share=0.5, **LEFT)
    here.gives(
        {
            relation: [found[fact.key].pairs for fact in facts if fact.relation == relation]
            for relation in ("P0", "P1")
        }
    )
    ours = erase_relations(bb, facts, found, top=20, draws=0).set_index("relation")
    for relation in ("P0", "P1"):
        here.script("7_erase_knowledge.py", kn_dir="../kn", pt_relation=relation)
        said = capsys.readouterr().out
        for measure, name in ("accuracy", "accuracy"), ("ppl", "perplexity"):
            given = re.findall(rf"(?:original|erased) {measure}: (\S+)", said)  # four digits
            names = [f"{name}_{place}{when}" for place in ("within", "between") for when in (" before", "")]
            assert ours.loc[relation, names].tolist() == pytest.approx(list(map(float, given)), rel=1e-3)
            print(given)
