# SPDX-License-Identifier: BSL-1.0
# The operators in Python: torch.autograd.gradcheck and gradgradcheck, against torch.softmax and so on, in TorchScript.
import sys
import torch

torch.ops.load_library(sys.argv[1])
ours = torch.ops.safe_softmax
torch.manual_seed(1)


def tensors():
    yield torch.randn(5), 0
    yield torch.randn(3, 4), 0
    yield torch.randn(3, 4), 1
    yield torch.randn(3, 4).t(), 1
    yield torch.randn(2, 3, 4), -2
    yield torch.randn(4, 1, 3), 1
    yield torch.randn(6, 8)[::2, 1::3], 1
    yield torch.randn(2, 1, 2, 1, 2, 1, 2, 1, 2), 4
    yield torch.randn(()), 0


checks = 0
for x, dim in tensors():
    for scale in 1.0, -0.7:
        x = x.double().detach().requires_grad_()
        for f in (
            lambda t: ours.softmax(t, dim, scale=scale),
            lambda t: ours.log_softmax(t, dim, scale=scale),
            lambda t: ours.logsumexp(t, dim, scale=scale),
            lambda t: ours.logsumexp(t, dim, True, scale=scale),
        ):
            assert torch.autograd.gradcheck(f, (x,))
            assert torch.autograd.gradgradcheck(f, (x,))
            checks += 2

    for dtype in torch.float64, torch.float32:
        a = x.detach().to(dtype).requires_grad_()
        b = x.detach().to(dtype).requires_grad_()
        weight = torch.randn(a.shape, dtype=dtype)
        (ours.log_softmax(a, dim) * weight).sum().backward()
        (torch.log_softmax(b, dim) * weight).sum().backward()
        assert torch.allclose(a.grad, b.grad, rtol=1e-5, atol=1e-6), (dim, a.grad, b.grad)
        checks += 1

half = torch.randn(4, 9).to(torch.bfloat16).requires_grad_()
y = ours.softmax(half, 1, dtype=torch.float32)
assert y.dtype == torch.float32
y.square().sum().backward()
assert half.grad.dtype == torch.bfloat16

masked = torch.full((2, 3), -float("inf"), requires_grad=True)
p = ours.softmax(masked, 1)
p.sum().backward()
assert torch.equal(p, torch.zeros(2, 3)) and torch.equal(masked.grad, torch.zeros(2, 3))
assert torch.softmax(masked, 1).isnan().all() and ours.softmax(masked, 1, ieee=True).isnan().all()

try:
    ours.softmax(torch.zeros(2, 3), 2)
    raise SystemExit("an axis out of range was not refused")
except (RuntimeError, ValueError) as error:
    assert "smx::torch_softmax: dim is 2, but logits has 2 axes" in str(error), error
try:
    ours.softmax(torch.zeros(2, 3, dtype=torch.int32), 1)
    raise SystemExit("integers were not refused")
except (RuntimeError, ValueError) as error:
    assert "logits has elements of type Int, but float, double, half and bfloat16 are allowed" in str(error), error


@torch.jit.script
def scripted(x: torch.Tensor) -> torch.Tensor:
    return torch.ops.safe_softmax.softmax(x, -1, scale=0.5)


x = torch.randn(3, 7)
assert torch.equal(scripted(x), ours.softmax(x, -1, scale=0.5))
print(f"{checks} checks of gradients passed")
