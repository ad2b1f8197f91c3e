import pytest
import torch
from torch import nn

from clinical_tl.network.label_attention import LABEL_CHUNK, LabelAttention, NoteStates


def reference(head, states):
    """The formula of the paper, one note and one label at a time."""
    logits = []
    for label in range(head.queries.out_features):
        keys = torch.tanh(states @ head.projection.weight.T)
        attention = torch.softmax(keys @ head.queries.weight[label], dim=0)
        context = (attention[:, None] * states).sum(dim=0)
        logits.append(context @ head.classifiers.weight[label] + head.classifiers.bias[label])
    return torch.stack(logits)


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = LabelAttention(8, 5).eval()
    nn.init.normal_(head.classifiers.bias)
    return head


def notes_of(*lengths):
    torch.manual_seed(1)
    states = torch.randn(len(lengths), max(lengths), 8)
    return NoteStates(states, torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None])


def test_logits_are_the_papers(head):
    notes = notes_of(7, 3)
    logits = head(notes)
    for note, length in enumerate((7, 3)):
        expected = reference(head, notes.states[note, :length])
        torch.testing.assert_close(logits[note], expected, atol=1e-5, rtol=1e-5)


def test_padding_gets_no_attention(head):
    notes = notes_of(7, 3)
    changed = notes.states.clone()
    changed[1, 3:] = 1e4
    torch.testing.assert_close(head(notes), head(NoteStates(changed, notes.mask)))
    attention = head.attention(notes, 1, torch.tensor([0, 4]))
    assert attention.shape == (2, 3)
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(2))


def test_a_note_without_tokens_gets_the_biases(head):
    notes = NoteStates(torch.zeros(1, 1, 8), torch.zeros(1, 1, dtype=torch.bool))
    torch.testing.assert_close(head(notes)[0], head.classifiers.bias)


def test_many_labels_are_attended_in_chunks_with_the_same_result():
    torch.manual_seed(0)
    head = LabelAttention(4, LABEL_CHUNK + 3).eval()
    notes = NoteStates(torch.randn(1, 5, 4), torch.ones(1, 5, dtype=torch.bool))
    expected = reference(head, notes.states[0])
    torch.testing.assert_close(head(notes)[0], expected, atol=1e-5, rtol=1e-5)


def test_described_labels_attend_to_text_like_their_description():
    head = LabelAttention(16, 3).eval()
    descriptions = nn.functional.normalize(torch.randn(3, 16), dim=1) * 4
    head.initialise(descriptions)
    states = torch.randn(1, 6, 16) * 0.1
    states[0, 2] = descriptions[1]
    notes = NoteStates(states, torch.ones(1, 6, dtype=torch.bool))
    assert int(head.attention(notes, 0, torch.tensor([1]))[0].argmax()) == 2
    assert int(head(notes)[0].argmax()) == 1
