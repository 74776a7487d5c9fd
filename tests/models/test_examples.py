from tests.examples import examples_of

test_examples = examples_of("models")
