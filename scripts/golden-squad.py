"""Writes test/fixtures/squad: made-up SQuAD files, and expected values from an implementation of SQuAD's
scoring and of BERT's window and n-best rules that shares no code with lib/eval/finetune/squad.

    python scripts/golden-squad.py [FOLDER_WITH_SQUAD_FILES]

Needs the package `tokenizers`. With a folder of real SQuAD files (xquad-en-v1.1-part and
dev-v2.0-part, each .json.gz) the goldens of real answers are written, too.
"""
import collections
import gzip
import json
import os
import random
import re
import string
import sys

from tokenizers import BertWordPieceTokenizer

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../test/fixtures/squad")


def write(name, value, indent=None):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as out:
        json.dump(value, out, ensure_ascii=False, indent=indent)
        out.write("\n")


# ---------------------------------------------------------------- scoring

PUNCTUATION = set(string.punctuation)


def words(text):
    kept = "".join(c for c in text.lower() if c not in PUNCTUATION)
    return re.sub(r"\b(a|an|the)\b", " ", kept, flags=re.UNICODE).split()


def exact(prediction, gold):
    return int(" ".join(words(prediction)) == " ".join(words(gold)))


def f1(prediction, gold, version):
    p, g = words(prediction), words(gold)
    if version == 2 and (not p or not g):
        return float(p == g)
    same = sum((collections.Counter(p) & collections.Counter(g)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(p), same / len(g)
    return 2 * precision * recall / (precision + recall)


def question_scores(answers, prediction, version):
    if version == 2:
        answers = [a for a in answers if words(a)] or [""]
    return max(exact(prediction, a) for a in answers), max(f1(prediction, a, version) for a in answers)


def summary(scores, ids):
    n = len(ids)
    return {
        "exact": 100.0 * sum(scores[i][0] for i in ids) / n,
        "f1": 100.0 * sum(scores[i][1] for i in ids) / n,
        "total": n,
    }


def best_threshold(questions, scores, which, predictions, odds):
    current = sum(1 for q in questions if not q["answers"])
    best, threshold = current, 0.0
    by_id = {q["id"]: q for q in questions}
    for key in sorted(odds, key=lambda k: odds[k]):
        if by_id[key]["answers"]:
            current += scores[key][which]
        elif predictions[key]:
            current -= 1
        if current > best:
            best, threshold = current, odds[key]
    return 100.0 * best / len(questions), threshold


def score_v2(questions, predictions, odds, threshold):
    raw = {q["id"]: question_scores(q["answers"], predictions[q["id"]], 2) for q in questions}
    used = {}
    for q in questions:
        if odds[q["id"]] > threshold:
            used[q["id"]] = (0, 0) if q["answers"] else (1, 1)
        else:
            used[q["id"]] = raw[q["id"]]
    best_exact = best_threshold(questions, raw, 0, predictions, odds)
    best_f1 = best_threshold(questions, raw, 1, predictions, odds)
    return {
        **summary(used, [q["id"] for q in questions]),
        "hasAnswer": summary(used, [q["id"] for q in questions if q["answers"]]),
        "noAnswer": summary(used, [q["id"] for q in questions if not q["answers"]]),
        "best": {
            "bestExact": best_exact[0],
            "bestExactThreshold": best_exact[1],
            "bestF1": best_f1[0],
            "bestF1Threshold": best_f1[1],
        },
    }


HAND_MADE = [
    ("The Panthers", "panthers"), ("a an the", "the"), ("", ""), ("", "x"), ("...", ""), ("the", ""), ("!?", "the"),
    ("An apple, a day.", "apple day"), ("theatre", "the atre"), ("a-b", "ab"), ("a_b", "ab"), ("U.S.A.", "usa"),
    ("the\u00e9", "\u00e9"), ("\u00e9a", "\u00e9"), ("\u00e9 a", "\u00e9"), ("a\u0301", "\u0301"), ("A\u030a", "\u030a"),
    ("\u0130stanbul", "i\u0307stanbul"), ("\u03a3\u03a3", "\u03c3\u03c2"), ("STRASSE", "stra\u00dfe"),
    ("10\u00a0000 km", "10 000 km"), ("a\u0085b", "b"), ("x\u001cy", "x y"), ("x\ufeffy", "x y"), ("x\u200by", "xy"),
    ("\u201cquoted\u201d", "quoted"), ("it\u2019s", "its"), ("it's", "its"), ("rock 'n' roll", "rock n roll"),
    ("\U0001d49c the \U0001f600", "\U0001d49c \U0001f600"), ("\u4e2d\u6587", "\u4e2d \u6587"), ("the the cat", "cat cat"),
    ("one two two", "two two two one"), ("one two", "three"), ("Two  \t words\n", "two words"), ("\u00b2a", "\u00b2"),
    ("a1", "1"), ("\u216fa", "\u216f"), ("the.cat", "thecat"), ("the-a-cat", "cat"), ("\u00aa", "a"), ("5,000", "5000"),
]


def perturb(rng, context, answers, others):
    """A prediction a model might make: the answer, something near it, or something else."""
    text = rng.choice(answers) if answers else ""
    kind = rng.randrange(12)
    if not text or kind == 0:
        start = rng.randrange(len(context))
        return context[start:start + rng.randrange(1, 60)]
    at = context.find(text)
    parts = text.split()
    if kind == 1:
        return context[max(0, at - rng.randrange(20)):at + len(text) + rng.randrange(20)]
    if kind == 2:
        return text[rng.randrange(len(text)):]
    if kind == 3:
        return text[:rng.randrange(len(text) + 1)]
    if kind == 4:
        return rng.choice(["the ", "The ", "a ", "an ", "A "]) + text
    if kind == 5:
        return rng.choice([text.upper(), text.lower(), text.title(), text.swapcase()])
    if kind == 6:
        return text + rng.choice([".", ",", "!", "'s", " \u2013", "\u201d", "\u00a0", " the"])
    if kind == 7:
        rng.shuffle(parts)
        return " ".join(parts)
    if kind == 8:
        return " ".join(parts + rng.sample(parts, rng.randrange(1, len(parts) + 1)))
    if kind == 9:
        return rng.choice(others)
    if kind == 10:
        return "".join(c for c in text if rng.random() > 0.1)
    return text


def real_goldens(folder):
    def questions(name):
        with gzip.open(os.path.join(folder, name), "rt", encoding="utf-8") as file:
            for article in json.load(file)["data"]:
                for paragraph in article["paragraphs"]:
                    for qa in paragraph["qas"]:
                        yield paragraph["context"], qa["id"], [a["text"] for a in qa["answers"]]

    rng = random.Random(7)
    everything = list(questions("xquad-en-v1.1-part.json.gz")) + list(questions("dev-v2.0-part.json.gz"))
    others = [answers[0] for _, _, answers in everything if answers]

    pairs = [{"prediction": p, "answers": [g]} for p, g in HAND_MADE]
    answerable = [q for q in everything if q[2]]
    for context, _, answers in rng.sample(answerable, 400):
        pairs.append({"prediction": perturb(rng, context, answers, others), "answers": answers})
    for pair in pairs:
        pair["exact"], pair["f1v1"] = question_scores(pair["answers"], pair["prediction"], 1)
        pair["exact2"], pair["f1v2"] = question_scores(pair["answers"], pair["prediction"], 2)
        pair["normal"] = " ".join(words(pair["prediction"]))

    chosen = rng.sample(list(questions("dev-v2.0-part.json.gz")), 150)
    gold = [{"id": key, "answers": answers} for _, key, answers in chosen]
    predictions, odds = {}, {}
    for context, key, answers in chosen:
        guess = perturb(rng, context, answers, others)
        predictions[key] = guess if rng.random() < 0.85 else ""
        odds[key] = round(rng.gauss(-1.5 if answers else 1.0, 2.5), 1)  # one digit: some are equal
    sets = [
        {"threshold": threshold, "expected": score_v2(gold, predictions, odds, threshold)}
        for threshold in (-2.0, 0.0, 1.3, 1000.0)
    ]
    return {
        "attribution": "Answers and pieces of contexts of SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018) and of XQuAD "
        "(Artetxe et al. 2020), CC BY-SA 4.0; some of them altered by scripts/golden-squad.py.",
        "pairs": pairs,
        "set": {"questions": gold, "predictions": predictions, "odds": odds, "scores": sets},
    }


# ---------------------------------------------------------------- made-up files

LIGHTHOUSE = (
    "The lighthouse of Port Ambra was built in 1874 by the engineer Zo\u00eb M\u00fcller. Its lamp burned whale oil until 1911, "
    "when an electric arc lamp took over.  The keeper\u2019s house, painted green, stands 40 metres to the north. \U0001f30a Ships "
    "bound for \u6771\u6e2f (East Harbour) steer by its light; the signal is three flashes every 15 seconds. In 1962 a storm "
    "broke the gallery, and repairs cost 12,500 crowns. Since 1990 the tower has been a museum, run by the na\u00efve-art "
    "collector Tomas Brandt."
)
GARDEN = (
    "Kestrel Garden lies behind the old mill. Four hundred apple trees grow there, most of them of the variety Winter "
    "Amber. The gardener, Ilse Fenn, keeps bees in blue hives and sells honey on Thursdays."
)
RIVER = "The river Tolm rises in the Hazel Hills and reaches the sea at Port Ambra after 210 kilometres."


def qa(key, question, context, answers, impossible=None):
    entry = {
        "id": key,
        "question": question,
        "answers": [{"text": text, "answer_start": context.index(text)} for text in answers],
    }
    if impossible is not None:
        entry["is_impossible"] = impossible
        if impossible:
            entry["plausible_answers"] = []
    return entry


def v1():
    return {
        "version": "1.1",
        "data": [
            {
                "title": "Port_Ambra",
                "paragraphs": [
                    {
                        "context": LIGHTHOUSE,
                        "qas": [
                            qa("made-1", "Who built the lighthouse?", LIGHTHOUSE, ["Zo\u00eb M\u00fcller"]),
                            qa("made-2", "What do ships bound for steer by?", LIGHTHOUSE, ["its light"]),
                            qa("made-3", "How much did the repairs cost?", LIGHTHOUSE, ["12,500 crowns", "12,500"]),
                            qa("made-4", "Which harbour is \u6771\u6e2f?", LIGHTHOUSE, ["East Harbour"]),
                            qa("made-5", "Who runs the museum?", LIGHTHOUSE, ["Tomas Brandt"]),
                        ],
                    }
                ],
            },
            {
                "title": "Kestrel_Garden",
                "paragraphs": [
                    {
                        "context": GARDEN,
                        "qas": [
                            qa("made-6", "What colour are the hives?", GARDEN, ["blue"]),
                            qa("made-7", "How many apple trees are there?", GARDEN, ["Four hundred"]),
                        ],
                    }
                ],
            },
        ],
    }


def v2():
    return {
        "version": "v2.0",
        "data": [
            {
                "title": "River_Tolm",
                "paragraphs": [
                    {
                        "context": RIVER,
                        "qas": [
                            qa("river-1", "Where does the Tolm rise?", RIVER, ["the Hazel Hills", "Hazel Hills"], False),
                            qa("river-2", "How deep is the Tolm?", RIVER, [], True),
                            qa("river-3", "Where does it reach the sea?", RIVER, ["Port Ambra"], False),
                        ],
                    },
                    {
                        "context": GARDEN,
                        "qas": [
                            qa("garden-1", "When is honey sold?", GARDEN, ["on Thursdays", "Thursdays"], False),
                            qa("garden-2", "What does the honey cost?", GARDEN, [], True),
                        ],
                    },
                ],
            }
        ],
    }


# ---------------------------------------------------------------- windows and n-best


def utf16(text, count):
    return len(text[:count].encode("utf-16-le")) // 2


def encode(tokenizer, text):
    encoding = tokenizer.encode(text, add_special_tokens=False)
    offsets = [n for a, b in encoding.offsets for n in (utf16(text, a), utf16(text, b))]
    return {"ids": encoding.ids, "offsets": offsets}


def windows(tokenizer, context, qa, version, max_length, stride, max_question):
    question = tokenizer.encode(qa["question"], add_special_tokens=False)
    q_ids = question.ids[:max_question]
    doc = tokenizer.encode(context, add_special_tokens=False)
    target = None
    if qa["answers"] and not qa.get("is_impossible"):
        a0 = qa["answers"][0]["answer_start"]
        a1 = a0 + len(qa["answers"][0]["text"])
        hit = [i for i, (s, e) in enumerate(doc.offsets) if s < a1 and e > a0]
        target = (hit[0], hit[-1])
    room = max_length - len(q_ids) - 3
    spans, start = [], 0
    while start < len(doc.ids):
        length = min(len(doc.ids) - start, room)
        spans.append((start, length))
        if start + length == len(doc.ids):
            break
        start += min(length, stride)
    result = []
    for number, (start, length) in enumerate(spans):
        ids = [101] + q_ids + [102] + doc.ids[start:start + length] + [102]
        label = [0, 0]
        if target and target[0] >= start and target[1] <= start + length - 1:
            label = [target[0] - start + len(q_ids) + 2, target[1] - start + len(q_ids) + 2]
        best = []
        for token in range(start, start + length):
            scores = []
            for s, n in spans:
                inside = s <= token <= s + n - 1
                scores.append(min(token - s, s + n - 1 - token) + 0.01 * n if inside else None)
            winner = max((v, -i) for i, v in enumerate(scores) if v is not None)
            best.append(-winner[1] == number)
        result.append({"ids": ids, "start": start, "label": label, "best": best})
    return result, doc, len(q_ids)


def n_best(context, doc, made, q_len, logits, version, size, max_answer):
    import math

    prelim, null = [], (1e9, 0, 0)
    for w, (s_logits, e_logits) in zip(made, logits):
        n = len(w["ids"])
        top = lambda values: [i for i, _ in sorted(enumerate(values), key=lambda x: x[1], reverse=True)[:size]]
        if s_logits[0] + e_logits[0] < null[0]:
            null = (s_logits[0] + e_logits[0], s_logits[0], e_logits[0])
        first, last = q_len + 2, n - 2
        for s in top(s_logits):
            for e in top(e_logits):
                if not (first <= s <= last and first <= e <= last) or e < s or e - s + 1 > max_answer:
                    continue
                if not w["best"][s - first]:
                    continue
                a = doc.offsets[w["start"] + s - first][0]
                b = doc.offsets[w["start"] + e - first][1]
                prelim.append((context[a:b], s_logits[s], e_logits[e]))
    if version == 2:
        prelim.append(("", null[1], null[2]))
    prelim.sort(key=lambda p: p[1] + p[2], reverse=True)
    seen, kept = set(), []
    for p in prelim:
        if len(kept) >= size:
            break
        if p[0] in seen:
            continue
        seen.add(p[0])
        kept.append(p)
    if version == 2 and "" not in seen:
        kept.append(("", null[1], null[2]))
    if not kept:
        kept.append(("", 0, 0))
    total = sum(math.exp(p[1] + p[2]) for p in kept)
    out = {"nBest": [[p[0], p[1], p[2], math.exp(p[1] + p[2]) / total] for p in kept]}
    answer = next((p for p in kept if p[0]), None)
    out["bestAnswer"] = answer[0] if answer else ""
    if version == 2 and answer:
        out["nullOdds"] = null[0] - answer[1] - answer[2]
    return out


def window_goldens(files):
    tokenizer = BertWordPieceTokenizer(os.path.join(HERE, "../tokenizers/bert-base-uncased/vocab.txt"), lowercase=True)
    rng = random.Random(3)
    texts, cases = {}, []
    for version, data in files:
        for settings in ((384, 128, 64), (48, 12, 6), (40, 30, 64)):
            for article in data["data"]:
                for paragraph in article["paragraphs"]:
                    context = paragraph["context"]
                    texts[context] = encode(tokenizer, context)
                    for entry in paragraph["qas"]:
                        texts[entry["question"]] = encode(tokenizer, entry["question"])
                        made, doc, q_len = windows(tokenizer, context, entry, version, *settings)
                        # Quarters: exact in f32 and in JSON, and often equal, so that the order of equals counts.
                        logits = [
                            [[rng.randrange(-16, 17) / 4 for _ in w["ids"]] for _ in range(2)] for w in made
                        ]
                        case = {"id": entry["id"], "version": version, "settings": settings, "windows": made}
                        if settings[0] != 384 or entry["id"] in ("made-1", "river-2"):
                            case["logits"] = logits
                            case["size"], case["maxAnswer"] = rng.choice([(20, 30), (5, 4), (3, 30)])
                            case["expected"] = n_best(
                                context, doc, made, q_len, logits, version, case["size"], case["maxAnswer"]
                            )
                        for w in made:
                            w["best"] = "".join("1" if b else "0" for b in w["best"])
                        cases.append(case)
    return {"texts": texts, "cases": cases}


if __name__ == "__main__":
    write("made-up-v1.1.json", v1(), 1)
    write("made-up-v2.0.json", v2(), 1)
    write("windows.json", window_goldens([(1, v1()), (2, v2())]))
    if len(sys.argv) > 1:
        write("scores.json", real_goldens(sys.argv[1]))
