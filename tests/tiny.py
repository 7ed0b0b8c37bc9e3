"""Language models small enough to be made and trained within a test: no hub, no network, no card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

END, PAD = "<|end|>", "<|pad|>"
CHATML = ("<|im_start|>", "<|im_end|>")


def tiny_tokenizer(folder: Path, texts: Sequence[str], *, chatml: bool = False, words: int = 400) -> Path:
    """A folder with a byte-level tokenizer learnt from the texts, as a model's; no weights."""
    from tokenizers import AddedToken, ByteLevelBPETokenizer

    learnt = ByteLevelBPETokenizer()
    learnt.train_from_iterator(texts, vocab_size=words, show_progress=False)
    marks = [END, PAD, *(CHATML if chatml else ())]
    learnt.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])  # type: ignore[list-item]
    folder.mkdir(parents=True, exist_ok=True)
    learnt.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "pad_token": PAD}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


def tiny_model(
    folder: Path,
    texts: Sequence[str],
    *,
    size: int = 32,
    layers: int = 1,
    chatml: bool = False,
    words: int = 400,
    seed: int = 0,
) -> Path:
    """The same with an untrained Llama."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer(folder, texts, chatml=chatml, words=words))
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size,
        intermediate_size=4 * size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1_024,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder
