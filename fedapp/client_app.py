"""Flower's entry point at a partner: opens the partner's own folder and hands over to the `NumPyClient`."""

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable

from fedapp.partner.errors_at_home import keep_errors_home
from fedapp.partner.open_side import open_client, open_partner, open_side
from fedapp.partner.place import place
from strategies.partner.plain_trunk_mod import plain_trunk_mod
from strategies.partner.secure_trunk_mod import secure_trunk_mod


def trunk_mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Masks, or plain words, as the run says."""
    secure = place(context).config.aggregation == "secure"
    return (SECURE if secure else PLAIN)(message, context, call_next)


SECURE, PLAIN = secure_trunk_mod(open_side, open_partner), plain_trunk_mod(open_side, open_partner)
app = ClientApp(open_client, mods=[keep_errors_home, trunk_mod])
