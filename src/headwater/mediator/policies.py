"""What can't be the policy of a handler, and what to do about it."""

from inspect import isclass

from headwater.mediator.signatures import Kind, Signature
from headwater.resilience import Guard


def wrong_policy(policy: object, signature: Signature) -> tuple[str, str] | None:
    """Return what is wrong with *policy* for the handler of *signature*, and the advice.

    None if it can be called as an `Guard`.
    """
    name = signature.name
    if isclass(policy):
        return (
            f"the policy of {name} is the class {policy.__name__}, not an object.",
            f"Make one: policy={policy.__name__}().",
        )
    if not isinstance(policy, Guard):
        return (
            f"the policy of {name} is {policy!r}, which has no method 'call'.",
            "Give one of headwater.resilience, such as Policy(Retry(), CircuitBreaker()).",
        )
    if signature.kind is Kind.STREAM:
        return (
            f"{name} yields its answer as it goes, and what was yielded can't be tried again.",
            "Leave the policy away, and use one around what the handler awaits.",
        )
    return None
