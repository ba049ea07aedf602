"""Phrases of the topic and sentiment tasks, each list in two parts: shown in training, and kept unseen. Data only."""

from typing import NamedTuple


class Phrases(NamedTuple):
    """Phrases of one label: those that training may show, and those that only held-out tickets use."""

    seen: tuple[str, ...]
    unseen: tuple[str, ...]


TOPICS: dict[str, Phrases] = {
    "billing": Phrases(
        (
            "I was charged twice for my plan",
            "the invoice shows a wrong amount",
            "my card was billed after I cancelled",
            "my monthly fee went up without notice",
            "I see an unknown payment on my statement",
            "the invoice has the wrong company name",
            "I need a copy of the invoice for May",
            "the tax on my bill is too high",
            "my card was declined at the payment step",
        ),
        (
            "an extra charge showed up on my card",
            "the amount on this bill does not match the invoice",
            "my statement lists a fee I do not know",
        ),
    ),
    "delivery": Phrases(
        (
            "my parcel has not arrived",
            "the courier left the box at a wrong door",
            "the tracking page has not moved for days",
            "please change the delivery address",
            "the package came damaged by the carrier",
            "the driver never rang the bell",
            "half of the parcel is missing",
            "when will my order be shipped",
            "the shipment is stuck at customs",
        ),
        (
            "the courier still has my package",
            "the tracking number shows no parcel",
            "my box was left in the rain by the driver",
        ),
    ),
    "login": Phrases(
        (
            "I cannot sign in to my account",
            "the password reset mail never comes",
            "my password is not accepted",
            "the two factor codes do not work",
            "the account got locked after three tries",
            "the sign in page keeps asking for a code",
            "I forgot my user name and password",
            "I am logged out every few minutes",
            "the login link in the mail has expired",
        ),
        (
            "signing in fails since this morning",
            "no code comes when I try to log in",
            "my password stopped working",
        ),
    ),
    "bug": Phrases(
        (
            "the app crashes when I open settings",
            "the export button does nothing",
            "the page shows error five hundred",
            "charts load forever",
            "the search returns an empty list every time",
            "the screen freezes when I scroll",
            "dates are shown in the wrong order",
            "the report file is empty after saving",
            "the menu overlaps the text on my phone",
        ),
        (
            "the settings screen freezes",
            "an error appears when I press export",
            "the app closes by itself on start",
        ),
    ),
    "refund": Phrases(
        (
            "I want my money back",
            "please return the payment for this order",
            "how do I get a refund",
            "send back what I paid",
            "I ask for a full reimbursement",
            "I sent the goods back and wait for my money",
            "the promised refund is not here",
            "please refund the second item",
            "I returned it, now pay me back",
        ),
        (
            "kindly refund my purchase",
            "give me back the money I paid",
            "I am waiting for my reimbursement",
        ),
    ),
    "upgrade": Phrases(
        (
            "I would like to move to the team plan",
            "how do I add more seats",
            "please upgrade us to the yearly plan",
            "we need a bigger storage package",
            "can we switch to the premium plan",
            "what does the next larger plan offer",
            "we want to add five users to our plan",
            "please raise our storage limit",
            "I want to go from basic to premium",
        ),
        (
            "our team needs ten more seats",
            "please switch us to a larger plan",
            "can I get premium for my whole team",
        ),
    ),
    "privacy": Phrases(
        (
            "please delete all my personal data",
            "which data do you store about me",
            "send me a copy of my stored data",
            "who can read my messages",
            "stop sharing my data with partners",
            "I withdraw my consent to tracking cookies",
            "where are our files stored by law",
            "please sign our data protection form",
            "remove my address from your records",
        ),
        (
            "erase the personal data you hold on me",
            "I want to know who sees my data",
            "do not share my records with anyone",
        ),
    ),
    "sales": Phrases(
        (
            "do you offer a student discount",
            "please send me a price list",
            "can I talk to the sales team",
            "do you have an offer for schools",
            "we would like a demo for our office",
            "please make us a quote for fifty laptops",
            "is there a free trial for companies",
            "do you sell through local partners",
            "we compare vendors and need your prices",
        ),
        (
            "could you quote a price for our office",
            "our school would like a demo and an offer",
            "is there any discount for companies",
        ),
    ),
}

GREETINGS = ("Hello,", "Hi team,", "Good morning,", "Dear support,", "Hey,", "")
CLOSINGS = ("Thanks.", "Please help.", "This is urgent.", "Best regards.", "")

SUBJECTS = (
    "service",
    "app",
    "agent",
    "delivery",
    "new plan",
    "manual",
    "support chat",
    "website",
    "hotline",
    "setup",
    "repair team",
    "update",
)
GOOD = Phrases(
    ("great", "quick", "helpful", "lovely", "smooth", "excellent", "friendly", "perfect", "pleasant", "superb"),
    ("wonderful", "fantastic", "very good"),
)
BAD = Phrases(
    ("slow", "rude", "broken", "awful", "useless", "confusing", "terrible", "annoying", "horrible", "poor"),
    ("dreadful", "a mess", "very bad"),
)
NEUTRAL = Phrases(
    (
        "The {subject} opens at nine",
        "We use the {subject} on Mondays",
        "The {subject} is listed on page two",
        "I read about the {subject} in March",
        "The {subject} has a blue logo",
        "Our office is asking about the {subject}",
        "The {subject} starts next week",
        "Two colleagues also use the {subject}",
    ),
    ("The {subject} is shown on page nine", "We start with the {subject} in May"),
)
