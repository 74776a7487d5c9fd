"""What the examples of the docstrings in `skillkit/models` work with: `module.name = what it is`."""

OWN = """
backbone.texts = ["a text", "another text"]
backbone.answer = torch.tensor([0, 0])
fast.last_layer.answer = torch.tensor([0, 0])
backbone.ids = inputs["input_ids"]
backbone.mask = inputs["attention_mask"]
backbone.config = transformers.BertConfig(hidden_size=8, num_attention_heads=2, intermediate_size=16, num_hidden_layers=1)
backbone.BertForMaskedLM = transformers.BertForMaskedLM
ffn.BertForMaskedLM = transformers.BertForMaskedLM
backbone.tokenizer = bb.tokenizer
backbone.transformers = import_module("transformers")
ffn.transformers = import_module("transformers")
loading.model = bb.model
fast.attention.attention = bb.blocks[0].attention.self
fast.attention.text = torch.randn(2, 5, 128)
ffn.bb = sk.load_backbone("embedded/bert")
ffn.config = transformers.BertConfig(hidden_size=12, num_hidden_layers=2, intermediate_size=16, pruned={"widths": [16, 3]})
ffn.row = bb.row
ffn.network = sk.models.ffn.networks(bb.model.base_model, bb.row)[0]
hooks.neurons = torch.randn(2, 6, 512)
hooks.where = torch.tensor([[3], [5]])
precision.weight = prompt.weight.clone().requires_grad_()
precision.loss_of = lambda batch: weight.sum()
"""  # noqa: E501
