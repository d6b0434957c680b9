"""Mail: tells customers that their order was confirmed."""

from examples.shop.mail.context import mail

__all__ = ["mail"]
