from headwater.messages import Event


class Returned(Event):
    sku: str
