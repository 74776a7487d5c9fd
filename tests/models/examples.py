"""What the examples of the docstrings in `skillkit/models` work with, by module."""

OWN = {
    "backbone": """
texts = ["a text", "another text"]
answer = torch.tensor([0, 0])
ids = inputs["input_ids"]
mask = inputs["attention_mask"]
config = transformers.BertConfig(hidden_size=8, num_attention_heads=2, intermediate_size=16, num_hidden_layers=1)
BertForMaskedLM = transformers.BertForMaskedLM
tokenizer = bb.tokenizer
transformers = import_module("transformers")
""",
    "loading": "model = bb.model",
    "fast.last_layer": "answer = torch.tensor([0, 0])",
    "fast.attention": """
attention = bb.blocks[0].attention.self
text = torch.randn(2, 5, 128)
""",
    "ffn": """
bb = sk.load_backbone("embedded/bert")
transformers = import_module("transformers")
config = transformers.BertConfig(hidden_size=12, num_hidden_layers=2, intermediate_size=16, pruned={"widths": [16, 3]})
BertForMaskedLM = transformers.BertForMaskedLM
row = bb.row
network = sk.models.ffn.networks(bb.model.base_model, bb.row)[0]
""",
    "hooks": """
neurons = torch.randn(2, 6, 512)
where = torch.tensor([[3], [5]])
""",
    "precision": """
weight = prompt.weight.clone().requires_grad_()
loss_of = lambda batch: weight.sum()
""",
}
