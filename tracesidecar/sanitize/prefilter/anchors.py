"""The patterns that run over whole chunks: everything that can be redacted matches at least one.

Anchors begin with a literal and have nearly fixed width, so that Hyperscan finds them with its
literal matcher and starts no automaton on ordinary text. The rules without a literal (runs of
digits) have a database of their own: merged with the literals, both together would be slower.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import NamedTuple

from tracesidecar.sanitize.patterns import SECRET_COMMANDS
from tracesidecar.sanitize.rules import Rule, words_of


class HitRole(Enum):
    """What a hit means, and therefore how it is confirmed."""

    CERTAIN = auto()
    COMMAND = auto()
    NEEDS_BOUNDARY = auto()
    KEYWORD = auto()
    LOGIN = auto()
    ENCODED = auto()
    EMAIL = auto()
    PHONE = auto()
    OLD_VAULT = auto()
    NUMERIC = auto()
    COMPRESSED = auto()
    TOKEN_PREFIX = auto()
    SPLIT = auto()
    STREAM = auto()


class Anchor(NamedTuple):
    """A group of patterns whose hits have the same role."""

    name: str
    role: HitRole
    patterns: tuple[str, ...]


_ROLES = {"email": HitRole.EMAIL, "phone-e164": HitRole.PHONE, "vault-token": HitRole.OLD_VAULT}
_SEPARATORS = ("", "[_. -]")


def _words(text: str) -> list[str]:
    return text.split()


# what may follow a sensitive word: an operator, the closing quote and colon of a key, or a blank
# and then an operator
_OPERATOR = r"['`\\=:.,;)\]>|?!+(]"
_END = (
    r"(?:"
    + _OPERATOR
    + (
        r'|"[ \t]?:|\[[0-9]{0,4}\]|\\?"\]|[ \t]{1,2}(?:[=:|>+.!?(,{&<]|\\{0,7}["\'])'
        r"|[ \t](?:string|str|char|text|auto|secretstr|optional)\b|[ \t]{3})"
    )
)

_VENDOR_END = (
    r"(?:(?:[_.-]?(?:api|app|prod|dev|live|test|rest|pat|auth|admin|org|account|user"
    r"|default))?(?:['`\\=]|\"?[ \t]?[:=]|[ \t]{1,4}[:=?]))"
)
_KEY_WORDS = _words(
    "api access activation authentication priv private account auth service client "
    "sign signing crypt encrypt encryption decrypt decryption cryption master "
    "license licence app application db database secret subscription storage shared "
    "ssh deploy consumer hmac webhook aes rsa dsa ecdsa "
    "gpg pgp function functions functionapp ingest ingestion write admin root bot recovery unseal"
)
_TOKENS_WORDS = _words(
    "access refresh auth api bearer session id secret security csrf xsrf oauth device "
    "personal deploy push"
)
_PAIRS = (
    "amz signature,goog signature,hub signature,webhook signature,hmac signature,"
    "request signature,client assertion,code verifier,connection str,conn str,"
    "connect str,sonar login"
)
_VENDORS = _words(
    "adafruit adobe airbrake alchemy algolia alphavantage artifactory asana assemblyai "
    "beamer bittrex bugsnag cloudant "
    "codecov cohere coinbase confluent contentful datadog deepgram droneci elevenlabs "
    "etherscan etsy fastly finicity "
    "finnhub flickr freshbooks gitter gocardless honeycomb infura jfrog kraken kucoin "
    "launchdarkly linkedin looker "
    "mailchimp mailgun mapbox mattermost meraki messagebird mistral netlify newrelic "
    "nytimes okta openweathermap opsgenie "
    "pagerduty plaid privateai rapidapi rollbar sendbird sendgrid snyk softlayer "
    "sonarqube sourcegraph splunk squarespace "
    "sumologic travisci trello twitch twitter wandb weatherapi yandex zendesk "
)
_SHORT_WORDS = "pwd|creds|psk|jwt|otp|cvv2?|cvc|dsn|sas"


def rule_anchors(rules: Iterable[Rule]) -> list[Anchor]:
    """Return the anchor of each rule that has one of its own.

    Many alternatives, each with a literal of its own, are cheaper as so many patterns.
    """
    return [
        Anchor(rule.id, _role_of(rule), rule.anchors or (rule.anchor or rule.prefilter,))
        for rule in rules
        if not rule.has_shared_anchor
    ]


def _role_of(rule: Rule) -> HitRole:
    if rule.id in _ROLES:
        return _ROLES[rule.id]
    return HitRole.NEEDS_BOUNDARY if rule.drops_left_boundary else HitRole.CERTAIN


def keyword_anchors(custom_names: Iterable[str] = ()) -> list[Anchor]:
    """Return the anchors on words that may begin an assignment, a key, a flag or a header.

    Such a hit is only a candidate: the key matcher decides.
    """
    anchors = [*_credential_words(), *_compound_words(), *_surroundings()]
    custom = tuple(key_name_pattern(name) for name in custom_names)
    return [*anchors, Anchor("custom-name", HitRole.KEYWORD, custom)] if custom else anchors


def key_name_pattern(name: str) -> str:
    """Return a pattern that matches a configured key name in all its spellings."""
    return "(?i)" + "[0-9]*[_. -]?".join(words_of(name))


def _any_case(*words: str) -> tuple[str, ...]:
    return tuple(f"(?i){word}" for word in words)


def _credential_words() -> Sequence[Anchor]:
    rare = _words(
        "passw passphrase passcode contrase secret credential cookie authorization "
        "csrf xsrf htpasswd art_api art-api mysqlpwd bearer artapi art[.]api"
    )
    tail = "(?:Va|St|Ra|Ha|Pr|De|Te|Li|He|Da|Co|Pa|Ol|Ne|Cu|Se|To|Ke|En|Ma|Di|Ba)"
    return (
        Anchor("rare", HitRole.KEYWORD, _any_case(*rare, "p(?:sw|ssw|asw)(?:or?s?d|r?d)")),
        Anchor(
            "pwd",
            HitRole.KEYWORD,
            (
                rf"(?i)(?:{_SHORT_WORDS})[0-9]{{0,2}}{_END}",
                rf"(?i)(?:{_SHORT_WORDS})[0-9]?[_.-][a-z0-9]{{1,12}}[\"'=:\\]",
                rf"(?i:{_SHORT_WORDS})[0-9]?{tail}",
            ),
        ),
        Anchor(
            "pass",
            HitRole.KEYWORD,
            (
                rf"(?i)(?:[a-z0-9][_-]?|\b)(?:pass|pw)[0-9]?{_END}",
                r"(?i)pass[0-9]?[_.-](?:[a-hj-qs-z]|raw)[a-z0-9]{0,12}[\"'=:\\]",
                r"(?i)(?:^|[^a-z])pw[0-9]?[_.-][a-z]",
                r"(?i:pass|pw)(?:Va|St|Ra|Ha|Pr|De|Te|Li|He|Da|Co|Ol|Ne|Cu|En)",
            ),
        ),
    )


def _compound_words() -> Sequence[Anchor]:
    # four patterns, not one with four endings: that would start an automaton at each `tokens`
    tails = (
        r"(?i:token)[A-HJ-RT-Z]",
        (
            r"(?i:token)[_.-](?:[a-bd-kmo-su-zA-BD-KMO-SU-Z0-9]|[tT]e"
            r"|[cC]on[tTfF]|[cC]ur)[A-Za-z0-9_.-]{0,16}[\"'=:\\ ]"
        ),
        r"(?i:token)[sS](?:tr|ecret)",
        r"(?i:token)[a-hj-rt-z][a-z0-9]{0,11}[\"'=:\\]",
    )
    pairs = [pair.split() for pair in _PAIRS.split(",")]
    return (
        Anchor("token", HitRole.KEYWORD, (rf"(?i)(?:token)[0-9]{{0,2}}{_END}",)),
        Anchor("token-tail", HitRole.KEYWORD, tails),
        Anchor(
            "tokens",
            HitRole.KEYWORD,
            _any_case(
                *(f"{word}{between}tokens" for word in _TOKENS_WORDS for between in _SEPARATORS)
            ),
        ),
        Anchor(
            "key",
            HitRole.KEYWORD,
            _any_case(*(f"{word}{between}key" for word in _KEY_WORDS for between in _SEPARATORS)),
        ),
        Anchor(
            "other-key",
            HitRole.KEYWORD,
            (
                (
                    r"(?:[A-Za-z0-9][_.-](?i:key)|[a-z0-9]K(?:ey|EY))[0-9]{0,2}(?:['`\\=:>"
                    r"|?\]]|\"[ \t]?:|[ \t]{1,2}[=:>|])"
                ),
            ),
        ),
        Anchor(
            "pat",
            HitRole.KEYWORD,
            (
                (
                    r"(?:[A-Za-z0-9][_.-](?i:pat|skey)|[a-z0-9](?:Pat|PAT|Skey))"
                    r"(?:[\"'=:\\]|[ \t]{1,2}[=:])"
                ),
            ),
        ),
        Anchor(
            "auth",
            HitRole.KEYWORD,
            (
                rf"(?i)auth[0-9]?{_END}",
                r"(?i)auth[a-np-z0-9_.-][a-z0-9_.-]{0,24}(?:[\"'=:\\,]|[ \t]{1,2}[=:|])",
            ),
        ),
        Anchor(
            "pair-word",
            HitRole.KEYWORD,
            _any_case(
                *(f"{first}{between}{second}" for first, second in pairs for between in _SEPARATORS)
            ),
        ),
    )


def _surroundings() -> Sequence[Anchor]:
    clients = [
        "redis-cli",
        "mysql",
        "mysqldump",
        "mysqladmin",
        "mariadb",
        "mongo",
        "mongosh",
        "ldapsearch",
        "smbclient",
        "sshpass",
    ]
    query = (
        r"(?i)(?:[?&;]|amp;|u0026)(?:[a-z0-9_.-]{0,30}[_.-])?"
        r"(?:token|sig|signature|sas|assertion|pwd|subscription-key|x-amz-credential"
        r"|x-amz-security)="
    )
    return (
        Anchor(
            "cli",
            HitRole.KEYWORD,
            (
                (
                    r"(?i)-(?:pass|passin|passout|pwd|token)[ \t=\"',\\]|[-_](?:pass|pwd"
                    r"|token)(?:[ \t]{1,2}[^ \t]|[\"'\\],?)"
                ),
                r'"(?:-u|--user)\\{0,7}"',
            ),
        ),
        Anchor(
            "cli-short",
            HitRole.KEYWORD,
            _any_case(
                "docker[ \\t]login",
                "podman[ \\t]login",
                "registry[ \\t]login",
                *(f'{client}[ \\t"]' for client in clients),
                '"(?:openssl|htpasswd|docker|podman|sqlcmd|mongodump)"',
            ),
        ),
        Anchor("secret-command", HitRole.COMMAND, SECRET_COMMANDS),
        Anchor(
            "sql",
            HitRole.KEYWORD,
            _any_case(*(f"identified[ \\t]{{1,4}}{word}" for word in ("by", "as", "with"))),
        ),
        Anchor("login", HitRole.LOGIN, (r"(?i)\blogin[ \t\\][^ \t\\]",)),
        Anchor("basic", HitRole.KEYWORD, (r"(?i)basic[ \t]{1,4}[A-Za-z0-9+/]{12}",)),
        Anchor(
            "query", HitRole.KEYWORD, (query, r"(?i)(?:token|key|sig|signature|pwd|pass|auth)%3d")
        ),
        Anchor(
            "vendor", HitRole.KEYWORD, tuple(rf"(?i){vendor}{_VENDOR_END}" for vendor in _VENDORS)
        ),
        Anchor("escaped-slash", HitRole.KEYWORD, (r"[A-Za-z0-9+/_=-]{6}\\/[A-Za-z0-9+/_=-]{6}",)),
        Anchor("amazon-header", HitRole.KEYWORD, _any_case("x-amz-security-token")),
    )


def numeric_anchor() -> Anchor:
    r"""Return the anchor for card numbers, SSNs and IBANs, in one automaton.

    There is no `\b` on the left: in raw JSON an escape (`\t`, `\u00e9`) may precede the digits.
    Only the first 15 characters of an IBAN are matched: the whole of it makes the automaton three
    times slower.
    """
    return Anchor(
        "numeric",
        HitRole.NUMERIC,
        (
            (
                r"(?:^|[^0-9A-Zac-eg-mo-qsu-z_]|\\u[0-9a-fA-F]{4})(?:"
                r"1[0-9]{3}[ -]?[0-9]{5}[ -]?[0-9]{6}\b"
                r"|[0-8][0-9]{2}(?:[0-9]{2}-[0-9]{4}|-[0-9]{6})\b|"
                r"[2-6][0-9]{3}[ -]?(?:[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{1,7}|[0-9]{6}[ "
                r"-]?[0-9]{4,5})\b|"
                r"[0-8][0-9]{2}[-. ][0-9]{2}[-. ][0-9]{4}\b|"
                r"[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{4}){2}[ -]?[A-Z0-9]{2})"
            ),
        ),
    )


def list_encoded_anchors() -> list[Anchor]:
    """Return the anchors on encoded text; their hits need no confirmation."""
    signs = {
        ("unicode"): (
            r"\\u(?:00(?:2[b-fB-F]|3[0-9aAdD]|[46][0-9a-fA-F]|[57][0-9aAfF])"
            r"|\{[0-9a-fA-F]{2,6}\})"
        ),
        "bytes": r"(?:\\x[2-7][0-9a-fA-F]\\{1,16}){2}x[2-7]",
        "percent": r"(?:%(?:25)?[2-7][0-9A-Fa-f]){3}",
        "quoted-printable": r"(?:=[2-7][0-9A-F]){3}",
        "entity": r"&(?:amp;)?#x?[0-9a-fA-F]{2,6};",
        "ansi": r"(?:\\u001[bB]|\x1b)[\[(\]]",
        "overstruck": r"[A-Za-z0-9_]\\{1,16}(?:b|u0008)[A-Za-z0-9_]{1,2}\\",
        "invisible": (
            r"\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0-\xaf]|\xef\xbb\xbf|\xc2\xad"
            r"|[A-Za-z0-9](?:\xcd\x8f|\xd8\x9c|\xe1\xa0\x8e"
            r"|\xef\xb8[\x80-\x8f])[A-Za-z0-9]|"
            r"[A-Za-z0-9_-]\\{1,16}u(?:00[01][0-79a-fA-F]|007[fF])[A-Za-z0-9_-]|"
            r"\\u(?:200[b-fB-F]|202[a-eA-E]|206[0-9a-fA-F]|[fF][eE](?:[fF][fF]"
            r"|0[0-9a-fA-F])|00[aA][dD]|034[fF]|061[cC]|180[eE])"
        ),
        "compatible": (
            r"\xef[\xbc\xbd][\x80-\xbf]|\\u[fF][fF][0-5]|\xf0\x9d[\x90-\x9f]|\\u[dD]835|"
            r"(?:(?:\xe2(?:\x91[\xa0-\xbf]|\x92[\x80-\xbf]|\x93[\x80-\xbf]"
            r"|\x81[\xb0-\xbf]|\x82[\x80-\x8f]))[A-Za-z0-9]?){3}|(?:\\{1,"
            r"16}u(?:24[6-9a-fA-F]|20[78]).[A-Za-z0-9]?){3}"
        ),
    }
    dumps = (
        r"0000000(?:0?:[ ][0-9A-Fa-f]{4}|0?[ ]{1,3}[0-9A-Fa-f]{2}[0-9A-Fa-f ]{2}|[ ]{3}[^ ][ ]{3})",
        r"(?:fromCharCode|Buffer\.from|Uint8Array|bytes|bytearray)[ ]?\([ ]?\[?[ ]?[0-9]{2,3}[ ]?,",
        r"(?i)chr\([0-9]{2,3}\)[ ]?[.+&]",
        r"0x[2-7][0-9A-Fa-f],[ ]?0x[2-7][0-9A-Fa-f],[ ]?0x[2-7][0-9A-Fa-f],[ ]?0x[2-7]",
        r"\\1[0-7]{2}\\{1,16}[01][0-7]{2}\\{1,16}[01][0-7]{2}\\",
    )
    compressed = Anchor(
        "compressed",
        HitRole.COMPRESSED,
        ("H4sIA", "QlpoO", "(?:eAF|eF[4-7]|eJ[w-z]|eN[o-r])[A-Za-z0-9+/_-]{5}"),
    )
    return [
        *(Anchor(name, HitRole.ENCODED, (pattern,)) for name, pattern in signs.items()),
        Anchor("dump", HitRole.ENCODED, dumps),
        compressed,
    ]


BASE64_RUN = "[A-Za-z0-9+/_-]{37}"
"""The gate before `base64_text_anchor`: alone in a database it runs at several GB/s."""

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def base64_text_anchor(groups: int = 5) -> Anchor:
    """Return the anchor on base64 of printable ASCII, at any alignment.

    Bit 7 of each three bytes is 0, and the first of them is no control character.
    """

    def characters(bits_fit: range | None, mask: int) -> str:
        both = [*enumerate(_ALPHABET + "-_"), *enumerate("+/", 62)]
        kept = [c for i, c in both if (i in bits_fit if bits_fit is not None else not i & mask)]
        return "[" + "".join(sorted(kept, key=lambda c: c == "-")).replace("-", "\\-") + "]"

    quad = (
        characters(range(8, 32), 0) + characters(None, 8) + characters(None, 2) + "[A-Za-z0-9+/_-]"
    )
    return Anchor("base64", HitRole.ENCODED, (f"(?:{quad}){{{groups}}}",))


def make_encoding_anchor() -> Anchor:
    """Return the anchor on hex, base32 and base64 of UTF-16, of printable ASCII."""
    return Anchor("encoded", HitRole.ENCODED, (_HEX_OF_TEXT, _BASE32_OF_TEXT, _BASE64_OF_UTF16))


_HEX_OF_TEXT = "(?:[2-7][0-9A-Fa-f]){18}"
_BASE32_OF_TEXT = (
    "(?:[E-P][ABEFIJMNQRUVYZ45][A-Z2-7][C-HS-X][ACEGIKMOQSUWY246][I-Z2-7][BCDJKLRSTZ23][A-Z2-7]){3}"
)
"""Five bytes of printable ASCII in eight characters."""
_BASE64_OF_UTF16 = "(?:[I-Za-f][AQgw][AB][A-Za-z0-9+/]A[C-H][AEIMQUYcgkosw048]A){3}"
"""Three characters of ASCII in eight, little-endian, as `powershell -enc` takes them."""
