from random import Random

import pytest

from batchrun.simulator.sentences import LABELS, sentence, sentences

PRAISE = ("praises", "recommends", "is happy with")
BLAME = ("criticises", "complains about", "is disappointed by")


def many(*labels):
    return [sentence(Random(seed), *labels) for seed in range(50)]


def says(text, verbs):
    return any(f" {verb} " in text for verb in verbs)


@pytest.mark.parametrize("label", ["positive", "Positive", "POSITIVE"])
def test_a_positive_sentence_praises(label):
    """Whatever the case of the label; it is repeated as it was given, except for the first letter."""
    assert all(text.startswith(f"P{label[1:]}: ") and says(text, PRAISE) for text in many(label))


def test_a_negative_sentence_finds_fault():
    """It never praises."""
    assert all(says(text, BLAME) and not says(text, PRAISE) for text in many("negative"))


def test_a_sentence_about_an_unknown_label_takes_no_side():
    """The label is named, and the verb fits any label."""
    assert all(text.startswith("Spam: ") and not says(text, PRAISE + BLAME) for text in many("spam"))


def test_a_sentence_names_all_labels():
    """The first label that has a tone decides the verb."""
    assert all(text.startswith("Delivery, negative: ") and says(text, BLAME) for text in many("delivery", "negative"))


def test_a_sentence_without_a_label_draws_one():
    """All labels occur, and label and verb agree."""
    texts = many()
    assert {text.partition(":")[0].lower() for text in texts} == set(LABELS)
    assert all(says(text, PRAISE) == text.startswith("Positive") for text in texts)


def test_sentences_have_about_the_tokens_asked_for():
    """A token is four characters, and the last sentence is not cut."""
    texts = [sentences(Random(seed), 100, sentence) for seed in range(100)]
    assert all(200 <= len(text) <= 700 and text.endswith(".") for text in texts)
