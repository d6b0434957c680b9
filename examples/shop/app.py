"""The shop as one app: the contexts, on a storage, with what they need from outside."""

from examples.shop.analytics import analytics
from examples.shop.analytics.baskets import AnalyticsSink
from examples.shop.audit import audit
from examples.shop.crm import crm
from examples.shop.customers import customers
from examples.shop.intake import intake
from examples.shop.mail import mail
from examples.shop.mail.service import EmailService
from examples.shop.sales import sales
from examples.shop.stock import stock
from headwater import App, Workers

CONTEXTS = (intake, sales, customers, stock, mail, crm, analytics, audit)

for context in CONTEXTS:
    context.scan(context.package)


def make_shop(
    storage: str,
    *,
    email: EmailService,
    sink: AnalyticsSink,
    run_subscriptions: bool = True,
    workers: Workers | None = None,
) -> App:
    """Return the shop on *storage*, such as ``sqlite:///shop.db``; use it as ``async with``."""
    app = App(
        "shop",
        storage=storage,
        provide={EmailService: email, AnalyticsSink: sink},
        run_subscriptions=run_subscriptions,
        workers=workers or Workers(),
    )
    app.include(*CONTEXTS)
    return app
