"""The selective scan of Mamba in plain PyTorch, for CPU and GPU, with its gradient.

Gu, A., Dao, T. (2023). Mamba: linear-time sequence modeling with selective state spaces.
https://arxiv.org/abs/2312.00752

The recurrence is linear in its state, so a stretch of it acts on the state it starts from as one
multiplication and one addition. That allows two sweeps over a segment that is cut into chunks: the
first follows all chunks at once, each from nothing, to learn what a chunk adds; a short walk over
the chunks gives each its true start; the second sweep follows all chunks at once again. Decays are
at most one and are only ever multiplied with each other, never divided by, so that nothing can
overflow however long a step is. Segments are small enough for the cache, and of the states only
those between segments are kept: the backward pass computes the others again.

Axes: b batch, l steps, s steps of a segment, k groups, d channels of a group, n states.
"""

from math import isqrt
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Numbers (b k n d) that one operation of a sweep should see, and (b s k n d) of a segment: what
#: fits the caches of a CPU, and what keeps a GPU busy.
_SWEEP = {'cpu': 2**14, 'cuda': 2**20}
_SEGMENT = {'cpu': 2**19, 'cuda': 2**23}


@torch.compiler.disable
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> Tensor:
    """Run the recurrence over a sequence.

    For each channel, with state ``h`` of ``n`` numbers that starts at zero::

        h[t] = exp(delta[t] A) h[t-1] + delta[t] B[t] u[t]
        y[t] = C[t] . h[t] + D u[t]

    Arguments and shapes are those of the published kernel (``mamba_ssm.selective_scan_fn``). The
    scan is fastest on memory in which the channels of a step lie side by side: give transposed
    views of (b, l, k d). It computes in float32, or in float64 when ``u`` is float64, also under
    autocast. A model that contains it can be compiled; the scan itself is not.

    Args:
        u: Input (b, k d, l).
        delta: Length of each step, of the shape of ``u``.
        A: Decay rates (k d, n), below zero.
        B: Weights from input to state (b, k, n, l), shared by the channels of a group.
        C: Weights from state to output (b, k, n, l), shared likewise.
        D: Weights of the input in the output (k d).
        delta_bias: Added to ``delta`` (k d).
        delta_softplus: Apply softplus to ``delta`` after its bias, which makes it positive.

    Returns:
        Output, of the shape and type of ``u``.

    Raises:
        ValueError: If the shapes do not fit each other.
    """
    channels, states = A.shape
    batch, groups, _, length = B.shape
    if (
        u.shape != (batch, channels, length)
        or delta.shape != u.shape
        or B.shape != C.shape
        or B.shape[2] != states
        or channels % groups
    ):
        raise ValueError(
            f'u {tuple(u.shape)}, delta {tuple(delta.shape)}, A {tuple(A.shape)}, '
            f'B {tuple(B.shape)} and C {tuple(C.shape)} do not fit each other; expected '
            '(b, k d, l) twice, (k d, n) and (b, k, n, l) twice'
        )
    y: Tensor = _SelectiveScan.apply(u, delta, A, B, C, D, delta_bias, delta_softplus)
    return y


def selective_recurrence(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> Tensor:
    """Do the same as :func:`selective_scan` step by step: slow, and what the scan is checked by.

    It computes in the type of its arguments, which are those of the scan.
    """
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    B, C = (weights.repeat_interleave(len(A) // B.shape[1], dim=1) for weights in (B, C))
    decay = torch.exp(torch.einsum('bdl,dn->bdln', delta, A))
    driven = torch.einsum('bdl,bdnl,bdl->bdln', delta, B, u)
    state = u.new_zeros(u.shape[0], *A.shape)
    outputs = []
    for step in range(u.shape[2]):
        state = decay[:, :, step] * state + driven[:, :, step]
        outputs.append((state * C[..., step]).sum(-1))
    y = torch.stack(outputs, dim=-1)
    return y if D is None else y + D[:, None] * u


class _Segment(NamedTuple):
    """Steps that are worked on together, in chunks of equal length."""

    start: int
    stop: int
    chunks: int

    @property
    def steps(self) -> int:
        """Number of steps."""
        return self.stop - self.start

    @property
    def span(self) -> slice:
        """Place in the sequence."""
        return slice(self.start, self.stop)


class _Operands:
    """The arguments with the step before the channel, and what follows from them."""

    def __init__(
        self,
        u: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor | None,
        bias: Tensor | None,
        softplus: bool,
    ) -> None:
        self.dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
        self.batch, self.groups, self.states, self.length = B.shape
        self.u, self.delta, self.softplus = u, delta, softplus
        self.rates = self._grouped(A.T).movedim(0, 1).contiguous()
        self.B, self.C = (weights.permute(0, 3, 1, 2) for weights in (B, C))
        self.D = None if D is None else self._grouped(D)
        self.bias = None if bias is None else self._grouped(bias)

    def segments(self) -> list[_Segment]:
        """Cut the sequence into segments, of which the first is the longest."""
        device = 'cpu' if self.u.device.type == 'cpu' else 'cuda'
        width = self.batch * self.rates.numel()
        steps = max(1, min(self.length, _SEGMENT[device] // width))
        chunks = max(1, min(isqrt(steps), _SWEEP[device] // width))
        steps -= steps % chunks
        whole = self.length - self.length % chunks
        cuts = [(start, min(start + steps, whole), chunks) for start in range(0, whole, steps)]
        if whole < self.length:
            cuts.append((whole, self.length, 1))
        return [_Segment(*cut) for cut in cuts]

    def room(self, steps: int) -> Tensor:
        """Give memory for the states of some steps (b, s, k, n, d).

        Memory that is used again is much faster than fresh memory, which the system has to find.
        """
        return self.rates.new_empty(self.batch, steps, *self.rates.shape)

    def inputs(self, part: _Segment) -> tuple[Tensor, Tensor, Tensor]:
        """Give input, length of the steps, and the latter before softplus, each (b, s, k, d)."""
        u, raw = self.steps(self.u, part), self.steps(self.delta, part)
        if self.bias is not None:
            raw = raw + self.bias
        return u, F.softplus(raw) if self.softplus else raw, raw

    def steps(self, sequence: Tensor, part: _Segment) -> Tensor:
        """Take the steps of a segment out of (b, k d, l), as (b, s, k, d)."""
        taken = sequence[:, :, part.span]
        if taken.stride(1) != 1:
            # transposing is fast once the segment lies together
            taken = taken.contiguous()
        taken = taken.transpose(1, 2).to(self.dtype, memory_format=torch.contiguous_format)
        return taken.contiguous().unflatten(2, (self.groups, -1))

    def weights(self, part: _Segment) -> tuple[Tensor, Tensor]:
        """Give B and C of a segment, each (b, s, k, n)."""
        return self.B[:, part.span].to(self.dtype), self.C[:, part.span].to(self.dtype)

    def _grouped(self, parameter: Tensor) -> Tensor:
        return parameter.to(self.dtype).unflatten(-1, (self.groups, -1))


class _SelectiveScan(torch.autograd.Function):
    """Keeps the states between segments and computes the others again for the gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor | None,
        delta_bias: Tensor | None,
        delta_softplus: bool,
    ) -> Tensor:
        """Give the output (b, k d, l)."""
        with torch.autocast(u.device.type, enabled=False):
            operands = _Operands(u, delta, A, B, C, D, delta_bias, delta_softplus)
            segments = operands.segments()
            decays, states = (operands.room(segments[0].steps) for _ in range(2))
            starts = operands.room(len(segments) + 1)
            starts[:, 0] = 0
            channels = operands.rates.shape[2]
            y = operands.rates.new_empty(u.shape[0], u.shape[2], operands.groups, channels)
            for number, part in enumerate(segments):
                decay, state = decays[:, : part.steps], states[:, : part.steps]
                x, dt, _ = operands.inputs(part)
                b, c = operands.weights(part)
                _follow(x, dt, operands.rates, b, starts[:, number], part.chunks, decay, state)
                starts[:, number + 1] = state[:, -1]
                out = _over_states(c, state, out=y[:, part.span])
                if operands.D is not None:
                    out.addcmul_(x, operands.D)
        ctx.save_for_backward(u, delta, A, B, C, D, delta_bias, starts)
        ctx.delta_softplus = delta_softplus
        return y.flatten(2).transpose(1, 2).to(u.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradients of all tensors."""
        u, delta, A, B, C, D, delta_bias, starts = ctx.saved_tensors
        with torch.autocast(grad.device.type, enabled=False):
            operands = _Operands(u, delta, A, B, C, D, delta_bias, ctx.delta_softplus)
            return *_gradients(operands, starts, grad), None


def _gradients(operands: _Operands, starts: Tensor, grad: Tensor) -> list[Tensor | None]:
    rates = operands.rates
    grad_u, grad_delta = torch.empty_like(operands.u), torch.empty_like(operands.delta)
    grad_b, grad_c = (torch.empty_like(weights) for weights in (operands.B, operands.C))
    grad_rates = torch.zeros_like(rates)
    grad_skip, grad_bias = (torch.zeros_like(rates[:, 0]) for _ in range(2))
    segments = operands.segments()
    decays = operands.room(segments[0].steps + 1)
    rooms = [operands.room(segments[0].steps) for _ in range(3)]
    message = torch.zeros_like(starts[:, 0])
    for number, part in reversed(list(enumerate(segments))):
        decay = decays[:, : part.steps]
        state, worth, product = (room[:, : part.steps] for room in rooms)
        x, dt, raw = operands.inputs(part)
        b, c = operands.weights(part)
        dy = operands.steps(grad, part)
        start = starts[:, number]
        _follow(x, dt, rates, b, start, part.chunks, decay, state)
        grad_c[:, part.span] = torch.mul(state, dy[..., None, :], out=product).sum(-1)

        # what a state is worth: to the output of its step, and to the state that follows it
        torch.mul(c[..., None], dy[..., None, :], out=worth)
        worth[:, -1] += message
        decays[:, part.steps] = 0
        following = decays[:, 1 : part.steps + 1]
        _scan_(following, worth, torch.zeros_like(message), part.chunks, reverse=True)
        message = decay[:, 0] * worth[:, 0]

        driven = x * dt
        grad_b[:, part.span] = torch.mul(worth, driven[..., None, :], out=product).sum(-1)
        grad_driven = _over_states(b, worth)
        decay[:, 0] *= start
        decay[:, 1:] *= state[:, :-1]
        exponent = decay.mul_(worth)
        grad_dt = torch.mul(exponent, rates, out=product).sum(3).addcmul_(grad_driven, x)
        grad_rates += exponent.mul_(dt[..., None, :]).sum((0, 1))
        if operands.softplus:
            grad_dt *= torch.sigmoid(raw)
        grad_bias += grad_dt.sum((0, 1))
        grad_skip += (dy * x).sum((0, 1))
        grad_x = grad_driven.mul_(dt)
        if operands.D is not None:
            grad_x.addcmul_(dy, operands.D)
        grad_u[:, :, part.span] = grad_x.flatten(2).transpose(1, 2)
        grad_delta[:, :, part.span] = grad_dt.flatten(2).transpose(1, 2)
    return [
        grad_u,
        grad_delta,
        grad_rates.movedim(1, 0).flatten(1).T,
        grad_b.permute(0, 2, 3, 1),
        grad_c.permute(0, 2, 3, 1),
        None if operands.D is None else grad_skip.flatten(),
        None if operands.bias is None else grad_bias.flatten(),
    ]


def _follow(
    x: Tensor,
    dt: Tensor,
    rates: Tensor,
    b: Tensor,
    start: Tensor,
    chunks: int,
    decay: Tensor,
    state: Tensor,
) -> None:
    """Write the decays and the states of a segment, each (b, s, k, n, d)."""
    torch.mul(dt[..., None, :], rates, out=decay).exp_()
    torch.mul((dt * x)[..., None, :], b[..., None], out=state)
    _scan_(decay, state, start, chunks)


def _scan_(
    decay: Tensor, states: Tensor, start: Tensor, chunks: int, reverse: bool = False
) -> None:
    """Add to each state, in place, the decayed one before it (or after it, when reversed).

    Args:
        decay: What each step leaves of the state it comes from (b, s, k, n, d).
        states: What each step adds, of the same shape; becomes the states.
        start: State to start from (b, k, n, d).
        chunks: Into how many equal parts to cut the steps.
        reverse: Go from the last step to the first.
    """
    order = -1 if reverse else 1
    decays, added = (
        tensor.unflatten(1, (chunks, -1)).unbind(2)[::order] for tensor in (decay, states)
    )
    if chunks == 1:
        starts = start[:, None]
    else:
        end, kept = added[0].clone(), decays[0].clone()
        for factor, addend in zip(decays[1:], added[1:], strict=True):
            torch.addcmul(addend, factor, end, out=end)
            kept *= factor
        starts = torch.empty_like(end)
        walk = [tensor.unbind(1)[::order] for tensor in (starts, kept, end)]
        walk[0][0].copy_(start)
        # what the last chunk ends with, the second sweep finds
        for target, before, factor, addend in zip(walk[0][1:], *walk, strict=False):
            torch.addcmul(addend, factor, before, out=target)
    for factor, addend in zip(decays, added, strict=True):
        starts = addend.addcmul_(factor, starts)


def _over_states(weights: Tensor, states: Tensor, out: Tensor | None = None) -> Tensor:
    """Sum (b, s, k, n) times (b, s, k, n, d) over n."""
    if states.shape[3] == 1:
        return torch.mul(weights, states[:, :, :, 0], out=out)
    row = None if out is None else out[..., None, :]
    return torch.matmul(weights[..., None, :], states, out=row)[..., 0, :]
