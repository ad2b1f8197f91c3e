import math

import pytest
import torch

from clinical_tl.tasks.losses import asymmetric_loss, divergence


def test_asymmetric_loss_by_hand():
    """Equations 4 to 6 of Ridnik et al. 2021, for one positive and one negative."""
    logits, gold = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])
    p = 1 / (1 + torch.exp(torch.tensor(-0.5)))
    shifted = p - 0.05
    positive = -((1 - p) ** 1) * torch.log(p)
    negative = -(shifted**4) * torch.log(1 - shifted)
    expected = torch.stack([positive, negative])
    torch.testing.assert_close(asymmetric_loss(logits, gold), expected)


def test_easy_negatives_cost_nothing():
    assert asymmetric_loss(torch.tensor([-4.0]), torch.tensor([0.0])).item() == 0.0


def test_without_focusing_and_margin_it_is_cross_entropy():
    logits, gold = torch.randn(4, 5), torch.randint(0, 2, (4, 5)).float()
    loss = asymmetric_loss(logits, gold, gamma_negative=0, gamma_positive=0, margin=0)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, gold, reduction="none")
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)


def test_divergence_is_half_of_both_directions():
    a, b = torch.randn(3, 4), torch.randn(3, 4)
    p, q = a.softmax(-1), b.softmax(-1)
    expected = 0.5 * ((p * (p / q).log()).sum(-1) + (q * (q / p).log()).sum(-1))
    torch.testing.assert_close(divergence(a, b, multi_label=False), expected)


def test_divergence_of_many_labels_is_that_of_bernoullis():
    a, b = torch.randn(3, 4), torch.randn(3, 4)
    p, q = torch.sigmoid(a), torch.sigmoid(b)

    def kl(x, y):
        return x * (x / y).log() + (1 - x) * ((1 - x) / (1 - y)).log()

    expected = 0.5 * (kl(p, q) + kl(q, p)).mean(-1)
    torch.testing.assert_close(divergence(a, b, multi_label=True), expected)


@pytest.mark.parametrize("multi_label", [True, False])
def test_equal_passes_do_not_diverge(multi_label):
    logits = torch.randn(3, 4)
    assert divergence(logits, logits, multi_label=multi_label).abs().max() == 0


def authors_asymmetric_loss(logits, gold, gamma_negative=4, gamma_positive=1, clip=0.05):
    """`AsymmetricLoss` of github.com/Alibaba-MIIL/ASL, one element at a time, in plain Python."""
    found = []
    for x, y in zip(logits, gold, strict=True):
        positive = 1 / (1 + math.exp(-x))
        negative = min(1 - positive + clip, 1)
        loss = y * math.log(max(positive, 1e-8)) + (1 - y) * math.log(max(negative, 1e-8))
        sure = positive * y + negative * (1 - y)
        loss *= (1 - sure) ** (gamma_positive * y + gamma_negative * (1 - y))
        found.append(-loss)
    return found


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_asymmetric_loss_with_smoothed_gold_is_the_authors(smoothing):
    logits = [-4.0, -2.0, 0.0, 2.0] * 2
    gold = [g * (1 - smoothing) + smoothing / 2 for g in [0.0] * 4 + [1.0] * 4]
    expected = torch.tensor(authors_asymmetric_loss(logits, gold))
    torch.testing.assert_close(
        asymmetric_loss(torch.tensor(logits), torch.tensor(gold)), expected, atol=1e-7, rtol=1e-5
    )


def test_smoothing_does_not_push_easy_negatives_up():
    logit = torch.tensor([-4.0], requires_grad=True)
    asymmetric_loss(logit, torch.tensor([0.05])).sum().backward()
    assert abs(float(logit.grad)) < 1e-4
