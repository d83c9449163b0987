"""What a ledger holds: its entries, for every step and for every synapse."""

from dataclasses import dataclass, fields

from pysi.typing import Array


@dataclass(frozen=True)
class Account:
    """The entries of a ledger; omega = drop + discretisation + noise + memory.

    Attributes
    ----------
    omega : array
        -g Δ, as in Synaptic Intelligence.
    own : array
        Its part -g Δ_own; the other part is `carried`.
    drop : array
        By how much the true loss fell. For one synapse, it is the share by the trapezoid rule.
    discretisation : array
        What finite steps add: -G Δ minus the drop.
    noise, memory : array
        What the minibatch's deviation g - G adds, together with Δ_own and with Δ_carried.
    expected_discretisation, expected_noise, expected_memory : array
        The predictions for these three.
    """

    omega: Array
    own: Array
    drop: Array
    discretisation: Array
    noise: Array
    memory: Array
    expected_discretisation: Array
    expected_noise: Array
    expected_memory: Array

    @property
    def carried(self) -> Array:
        """The part -g Δ_carried of ω."""
        return self.omega - self.own

    @property
    def full(self) -> Array:
        """-G Δ: ω without its bias, which is the mean over independent second minibatches."""
        return self.drop + self.discretisation

    @property
    def bias(self) -> Array:
        """-(g - G) Δ: what the minibatch's noise adds to ω."""
        return self.noise + self.memory

    def bias_without_evaluation(self, decay: float) -> Array:
        """Return an estimate of `bias` from own and carried alone, for a decay > 0 of `own_rate`.

        If G changes little while a gradient is remembered, the present minibatch adds the share
        1 - decay of -G Δ, and earlier ones, which do not contain its noise, add the share decay.
        """
        return self.own - (1 - decay) / decay * self.carried

    def totals(self) -> dict[str, Array]:
        """Return the sum of every entry over its last axis, (...)."""
        names = [field.name for field in fields(self)]
        return {name: getattr(self, name).sum(axis=-1) for name in names}


@dataclass(frozen=True)
class Ledger:
    """The accounts of one run.

    Attributes
    ----------
    steps : Account
        Arrays (..., T): each step, summed over the synapses.
    synapses : Account
        Arrays (..., P): each synapse, summed over the steps. Its drop and its discretisation are
        those of the trapezoid rule. So their sums differ from those of the steps by terms of third
        order in the step.
    """

    steps: Account
    synapses: Account
