#!/usr/bin/env python3
"""Writes test/fixtures/golden/generation.json: what Hugging Face's transformers generate and fill in with the golden
weights beside it, and the distributions that its logits processors leave of given logits. Needs torch and transformers.
"""
import json
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from transformers import BertConfig, BertForPreTraining, BertTokenizer, GPT2Config, GPT2LMHeadModel, GPT2TokenizerFast
from transformers.generation import logits_process as lp

GOLDEN = Path(__file__).parent.parent / "test" / "fixtures" / "golden"


def load(kind, config, folder):
    model = kind(config.from_pretrained(GOLDEN / folder))
    weights = load_file(GOLDEN / folder / "model.safetensors")
    prefix = "" if any(k.startswith(("transformer.", "bert.")) for k in weights) else f"{model.base_model_prefix}."
    missing, unexpected = model.load_state_dict({prefix + k: v for k, v in weights.items()}, strict=False)
    model.tie_weights()
    assert not [m for m in missing if "lm_head" not in m and "decoder" not in m], missing
    return model.eval()


def margins(model, ids, prompt):
    """Distance of the chosen token's score to the next one's, smallest of all steps."""
    scores = model(torch.tensor([ids])).logits[0, prompt - 1 : -1]
    top = scores.topk(2).values
    return (top[:, 0] - top[:, 1]).min().item()


def greedy():
    model = load(GPT2LMHeadModel, GPT2Config, "gpt2-ref")
    answers = []
    for prompt in ([5], [7, 3, 99], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18], [42, 42]):
        for penalty in (1.0, 1.3):
            ids = model.generate(
                torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False,
                max_length=32, pad_token_id=0, eos_token_id=None, repetition_penalty=penalty,
            )[0].tolist()
            if penalty == 1.0:
                assert margins(model, ids, len(prompt)) > 1e-3
            answers.append({"prompt": prompt, "repetitionPenalty": penalty, "tokens": ids[len(prompt) :]})
    return answers


def greedy_text():
    model = load(GPT2LMHeadModel, GPT2Config, "tiny-gpt2")
    ids = model.generate(
        torch.tensor([[15496, 11, 995]]), attention_mask=torch.ones(1, 3, dtype=torch.long), do_sample=False,
        max_new_tokens=12, pad_token_id=0, eos_token_id=None,
    )[0].tolist()
    return {"prompt": "Hello, world", "tokens": ids[3:], "margin": margins(model, ids, 3)}


def filtered():
    generator = torch.Generator().manual_seed(7)
    logits = (torch.randn(1, 40, generator=generator) * 3).round(decimals=3)
    logits[0, 11] = logits[0, 5]  # equals
    seen = torch.tensor([[3, 5, 5, 9]])
    answers = []
    for temperature, top_k, top_p, penalty in [
        (1, 0, 1, 1), (0.7, 0, 1, 1), (1, 5, 1, 1), (1, 0, 0.9, 1), (1, 0, 0.3, 1), (1, 0, 0.001, 1), (2.0, 12, 0.8, 1),
        (1, 0, 1, 1.5), (0.5, 20, 0.95, 1.2),
    ]:
        scores = logits.clone()
        if penalty != 1:
            scores = lp.RepetitionPenaltyLogitsProcessor(penalty)(seen, scores)
        if temperature != 1:
            scores = lp.TemperatureLogitsWarper(float(temperature))(seen, scores)
        if top_k:
            scores = lp.TopKLogitsWarper(top_k)(seen, scores)
        if top_p < 1:
            scores = lp.TopPLogitsWarper(top_p)(seen, scores)
        probabilities = scores.double().softmax(-1)[0].tolist()
        answers.append(
            {"temperature": temperature, "topK": top_k, "topP": top_p, "repetitionPenalty": penalty,
             "probabilities": {i: p for i, p in enumerate(probabilities) if p > 0}}
        )
    return {"logits": logits[0].tolist(), "seen": seen[0].tolist(), "cases": answers}


def fill():
    words = "the a cat dog mat sat ran on in house ##s ##ing walk old new , . man woman king queen".split()
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + words
    vocab += [f"word{i}" for i in range(120 - len(vocab))]
    path = Path("/tmp/apollo-fill-vocab.txt")
    path.write_text("\n".join(vocab) + "\n")
    tokenizer = BertTokenizer(str(path))
    model = load(BertForPreTraining, BertConfig, "bert-pretrain-ref")
    answers = []
    for text in ("the [MASK] sat on the mat .", "The old man walk[MASK] in the [MASK] , the woman ran", "[MASK]"):
        inputs = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).prediction_logits[0]
        masks = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten()
        top = logits[masks].softmax(-1).topk(4)
        answers.append(
            {"text": text, "ids": inputs["input_ids"][0].tolist(), "tokens": top.indices.tolist(),
             "probabilities": top.values.tolist()}
        )
    return {"vocab": vocab, "cases": answers}


def main():
    torch.manual_seed(0)
    answers = {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "greedy": greedy(),
        "text": greedy_text(),
        "filtered": filtered(),
        "fill": fill(),
    }
    (GOLDEN / "generation.json").write_text(json.dumps(answers) + "\n")


if __name__ == "__main__":
    main()
