"""Every Python pattern that runs over untrusted text; tests prove that each is linear in its input.

Rules run in Hyperscan and RE2, which are linear by construction. These few patterns only examine
text near a hit, or of bounded length.
"""

from __future__ import annotations

import re

from tracesidecar.redaction_marker import MARKER_PATTERN

# -- keys
CAMEL_START = re.compile(r"([a-z0-9])([A-Z])")
CAMEL_END = re.compile(r"([A-Z])([A-Z][a-z])")
NOT_WORD = re.compile(r"[^a-z0-9]+")
PASSWORD_MISSPELT = re.compile(
    r"(?:pa?ss?w(?:or?s?d|r?d)|(?:user|db|root|admin|my|proxy|login|ftp|sql)pwd)\Z"
)
SIMPLE_KEY = re.compile(rb"[A-Za-z0-9_.\-]+")

# -- values
BLANK = re.compile(r"\s")
PLACEHOLDER = re.compile(
    r"(?i)(?:\*{3,}|x{3,}|\.{3,}|-{3,}|_{3,}|#{3,}"
    r"|<(?:your|my|insert|the|an?|redacted|secret|token|password|passwd|api|key|masked"
    r"|hidden|removed|value)?[-_ a-zA-Z0-9]{0,40}>"
    r"|\[(?:redacted|filtered|masked|hidden|scrubbed|removed|sensitive)[^\]]{0,80}\]"
    r"|\[[A-Z_]{2,40}\]"
    r"|\$\{\{?[^}]{1,80}\}?\}|\$\([^)]{0,80}\)?|\$[A-Za-z_][A-Za-z0-9_]*|\{\{[^}]{0,"
    r"80}\}\}|%[A-Za-z_]+%|%\([a-z_]+\)s|%[sdvq]"
    r"|null|none|nil|undefined|true|false|amd64|arm64|yes|no|n/a|redacted|hidden|masked|required"
    r"|optional|string|str|bytes|number|int|bool|boolean|any|object"
    r"|changeme|change_me|placeholder|dummy|todo|tbd|fixme|empty|unset|missing|invalid"
    r"|expired|unknown|same-origin|include|omit"
    r"|(?:your|my|insert|enter|replace|change)[-_ ][-_ a-z0-9]{2,40})\Z"
)
TOKEN_CHARACTERS = re.compile(r"[A-Za-z0-9+/=_.-]+")
UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
CODE_START = re.compile(
    r"(?:await|new|self|this|os|process|env|config|settings|args|kwargs)\b[\s.(\[]", re.ASCII
)
IDENTIFIER_CHAIN = re.compile(
    r"(?:[A-Za-z_$][\w$]*(?:\??\.|::|->))+[A-Za-z_$][\w$]*\(?\)?", re.ASCII
)
PLAIN_WORD = re.compile(r"[A-Za-z][a-z]*[.,]?")
NOT_WORD_CHARACTER = re.compile(r"[^A-Za-z0-9_]")
SLUG = re.compile(r"[a-z0-9]+(?:[-._/:][a-z0-9]+)*")
HOST = re.compile(r"(?:[a-z0-9-]{1,32}\.){1,6}[a-z]{2,6}(?::[0-9]{1,5})?(?:/[a-z0-9/._-]{0,80})?")
YAML_TAG = re.compile(r"!(?:[A-Za-z]{2,12}::?)?[A-Za-z]{2,16}(?=[ \t\r\n]|\Z)")
NAME_PIECE = re.compile(r"[A-Z]?[a-z]{3,}[_.-]?")
WORD_SLUG = re.compile(
    r"(?:[a-z]+[0-9]{0,2}|[a-z0-9]{1,8})(?:[-_./+](?:[a-z]+[0-9]{0,2}|[a-z0-9]{1,8}))+"
)
WORD_IN_SLUG = re.compile(r"(?<![A-Za-z0-9])[a-z]{2,}")
SNAKE_CASE = re.compile(r"[a-z]+(?:_[a-z]+)+")
CLASS_NAME = re.compile(
    r"[A-Z][A-Za-z0-9]*(?:Key|Token|Type|Secret|Password|Credential|Error|Exception|Provider"
    r"|Factory|Config|Option|Handler|Manager|Client|Request|Response|Builder|Parser|Generator"
    r"|Context|Param|Bean)s?"
)
LETTERS_ONLY = re.compile(r"[A-Za-z_.\-/]+")
FILE_SUFFIX = re.compile(r"\.(?:png|jpe?g|gif|svg|js|ts|py|css|md)$")
SCHEME = re.compile(r"(?i)(?:bearer|basic|digest|token|negotiate|aws4-hmac-sha256)[ \t]+")
AUTHORIZATION_SCHEME = re.compile(
    r"(?i)^(?:bearer|basic|token|digest|negotiate|ntlm|apikey|api-key|key|hmac"
    r"|sharedkey|oauth)(?:[ \t]+|$)"
)

EXAMPLE = re.compile(r"EXAMPLE|(?i:placeholder)|(?i:(?:\A|[-_.])(?:your|here|example)(?:[-_.]|\Z))")

# -- our own markers
MARKER_TEXT = re.compile(MARKER_PATTERN)

ARN_BEFORE = re.compile(rb"\barn:[a-z0-9:*-]{1,80}\Z")

# -- conditions of single rules
FLAG_NAME = re.compile(rb"[^-]?-{1,2}([A-Za-z0-9_-]+)")
PAIR_NAME = re.compile(
    rb"(?i)(?:name|key)(?:\\{0,7}[\"'`])?[ \t]*[:=][ \t]*(?:\\{0,7}[\"'`])?([A-Za-z0-9_.-]+)"
)
TECHNICAL_WORD = re.compile(
    r"(?i)(?:(?:base|sha|sha-|md|aes|aes-|hs|rs|es|utf|utf-|pbkdf|argon|oauth|http|ipv"
    r"|x|pkcs|v|py|python|win|step|phase|level|part|chapter|option|rfc-?|cve-)[0-9]"
    r"|[0-9]{1,4}(?:-|th|st|nd|rd|x|k|ms|chars?|bytes?|bits?|days?|hours?|min(?:ute)?s?"
    r"|sec(?:ond)?s?|[smhd]\Z))"
)
REMOTE_PATH = re.compile(rb":[/~]")
MARKUP_NAME = re.compile(
    rb"(?i)<(?:key|name|param-name)>([A-Za-z0-9_. -]{2,80})</|\b(?:name|key|id)="
    rb"\\{0,7}[\"']([A-Za-z0-9_. -]{2,80})"
)
QUOTED_NAME = re.compile(rb"[\"']?([A-Za-z0-9_.-]{2,80})\\{0,7}[\"']?[ \t]{0,4}[,{]")
COMPARED_NAME = re.compile(rb"[!=]==?[ \t]*([A-Za-z0-9_.>-]{1,160})\Z")
DEFINED_NAME = re.compile(
    rb"(?i)(?:[#%](?:define|global)|setx?(?: -[a-z]{1,4})?|export|env|arg)"
    rb"(?:[ \t]|\\t){1,8}([A-Za-z0-9_.-]{2,80})"
)
FLAG_VALUE = re.compile(r"0x[0-9A-Fa-f]{1,8}")
NAME_BEFORE = re.compile(rb"""([A-Za-z0-9]+[-_][A-Za-z0-9_-]+)[ \t]{1,2}\\{0,7}["'`]?\Z""")
NAME_FIRST = re.compile(rb"([A-Za-z0-9_.>-]{1,160})")
NAMED_ADDRESS = re.compile(
    rb"(?i)\bip(?:v4)?(?:[ _-]?addr(?:ess)?)?[\"']?(?:[:=]| is)[ \t]{0,4}[\"']?\Z"
)
VERSION_BEFORE = re.compile(rb"(?i)(?:[-_v]|\b(?:version|ver|release)[\\\"' :=]{0,16})\Z")
HEX = re.compile(r"[0-9a-fA-F]+")
WORDS_JOINED = re.compile(r"[A-Za-z0-9]{1,12}(?:[-_.+:/]+[A-Za-z]?[a-z]*[0-9]?)*")
SIGN_BETWEEN = re.compile(r"[-_.]")
KEY_TYPE = re.compile(rb"[\"'`]kty\\{0,15}[\"'`]")
SECRET_KIND = re.compile(rb"\bkind:[ \t]{0,4}[\"']?Secret\b")
BUILD_SECRET = re.compile(r"(?:id|type|source|src|env|target)=")
SQL_VERB = re.compile(rb"(?i)\b(?:create|alter|set|grant)\b")
SQL_WORD = re.compile(rb"[a-z]{2,12}[?.,]?")
NAME_IN_SENTENCE = re.compile(rb"[A-Za-z_]+(?:[.-][A-Za-z_]+)*[).,;:]{1,3}")
FILE_SCHEMES = ("file://", "fileb://")
IN_CODE_BEFORE = re.compile(rb"""(?:=[ ]?|\(|['"],[ ]?(?:\\{0,7}['"])?|['"][ ]?:[ ]?)\Z""")
NAME_AND_CLOSERS = re.compile(r"[A-Za-z_.-]{3,40}['\"]?[,);}]{0,3}")

# -- assignments in text
ASSIGNMENT_REST = re.compile(
    rb"""[A-Za-z0-9_.-]{0,40}+(?:\[[0-9]*\]|\]["']?)?(?:\\{0,7}["'`]\]?)?\*{0,2}[ \t]{0,64}+"""
    rb"""(?:\??:?[ \t]{0,4}(?:&?(?:'static )?str|string|String|char\*?|text|auto|SecretStr"""
    rb"""|Option(?:al)?[<\[][A-Za-z]{1,10}[>\]])"""
    rb"""(?:[ \t]{0,2}\|[ \t]{0,2}[A-Za-z]{4,9})?[ \t]{1,4})?"""
    rb"""(=>|::?:?=|\?\??=|\|\|=|<-|[=!]==?|\|\||\+=|\.=|=|:|,|\(|>)[ \t]{0,8}"""
    rb"""(?:[\r\n]{1,2}[ \t]{0,40})?(?:\*{2}[ \t]{0,4})?"""
    rb"""(?:[@$]|[rRbBuUfFLN]{1,2})??(?:\\{0,7}["'`])?"""
    # between quotes everything up to the next one, otherwise up to a blank
    rb"""((?<=["'`])[^ \t\r\n"'`\\][^\r\n"'`\\]{2,4096}"""
    rb"""|[^ \t\r\n"'`\\,;&<>()\[\]{}|]"""
    rb"""(?=[^\r\n"'`\\]{2})[^ \t\r\n"'`\\]{0,4096}(?:[ \t]{1,8}[=:])?)"""
)
NAMESPACE_BEFORE = re.compile(rb"<[A-Za-z0-9_-]{1,32}:\Z")
NAME_AT = re.compile(rb"[A-Za-z0-9_.\- ]*(?:\xc3\xb1[A-Za-z0-9_.\- ]*)*")
QUOTED_REST = re.compile(rb"""[^\r\n"'`\\]*""")
# a comma or semicolon ends a value only before a blank, a quote or the next `name=`
BARE_VALUE = re.compile(
    rb"[^ \t,;&\"'<>]*(?:[,;](?![ \t\r\n\"'`\\]|[A-Za-z_][A-Za-z0-9_.-]{0,63}[\"']?"
    rb"[ \t]{0,8}[=:]|\Z)[^ \t,;&\"'<>]*)*"
)
BARE_VALUE_REST = re.compile(rb"[^ \t,;&\"'<>\r\n`\\]+")
IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)
EXPRESSION_CONTINUES = re.compile(rb"[ \t]{1,4}(?:[+*/%?]|&&|\|\||==|!=|\.[ \t])[ \t]")
TYPE_CONTINUES = re.compile(rb"[ \t]?(?:[,)\]|]|=[ \t]|\|)")
TYPE_NAME = re.compile(r"_?(?:[A-Z]+[a-z]+){2,}|[A-Za-z_.]+=(?:None|null|nil)")
TEMPLATE = re.compile(
    r"(?:[A-Za-z]{2,16}[ ]){0,2}(?:[^A-Za-z0-9{}]{0,8}\{[\w.]*\})+[^A-Za-z0-9{}]{0,8}",
    re.ASCII,
)
FLOAT = re.compile(r"[0-9]+(?:\.[0-9]+){1,3}-?")
BEHIND_QUOTE = (", ", ") ", "), ", "];", ");")
READS_TOKEN = re.compile(
    r"(?:create|get|parse|read|next|find|match|expect|make|define)[A-Z_][A-Za-z_]{0,20}oken\b|[\w.]{0,80}\.keys\("
)
LABEL = re.compile(r"[^\W\d_]{2,20}(?:[ '/-][^\W\d_]{1,20}){0,6}[ ]?[?!.:*]{0,3}")
LABEL_WORD = re.compile(r"[^\W\d_]{2,20}")
DIRECTORY = re.compile(r"(?:[/~]|[A-Za-z]:[/\\])")
CALL_OR_INDEX = re.compile(r"[A-Za-z_$][\w$.]*[(\[]", re.ASCII)
LITERALS = re.compile(
    r"(?i:true|false|none|null|nil)(?:[|)\]}:,;]+(?i:true|false|none|null|nil)?)*[^A-Za-z0-9]{0,4}"
    r"|(?:True|False|None)\).*"
)
CONSTANT = re.compile(r"[A-Z]{2,}(?:_[A-Z]{2,}){2,}")
PLAIN_ADDRESS = re.compile(r"https?://[^@]*\Z")
KEY_END = re.compile(rb"""\\{0,15}["'`][ \t]{0,8}:""")
CLOSING_TAG = re.compile(rb"[ \t\r\n]*</")

# -- raw JSON near a hit
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
STRING_OR_NUMBER = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|-?[0-9][0-9.eE+-]*', re.DOTALL)
ESCAPE = re.compile(rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}|u[0-9a-fA-F]{4}|.)")
COLON = re.compile(rb"[ \t]*:[ \t]*")
BEFORE_STRING = re.compile(rb"[{\[,:][ \t]*\Z")
PLAIN_KEY_BEFORE = re.compile(rb'"([A-Za-z0-9_.\- /$@]{0,80})"[ \t]*:[ \t]*\Z')
KEY_REST = re.compile(
    rb'[A-Za-z0-9_.\- ]{0,60}"[ \t]*:[ \t]*(?:("[^"\\]*(?:\\.[^"\\]*)*")|([\[{])|([-0-9])|[tfn])'
)
NESTED_KEY_REST = re.compile(rb'[A-Za-z0-9_.\- ]{0,60}(\\{1,15}")[ \t]*:(?:[ \t]|\\+[nrt])*(.)')
NESTED_KEY_BEFORE = re.compile(rb'\\"([A-Za-z0-9_.\- ]{1,72})\Z')
PAIR_NAMES = ("name", "key", "Name", "header", "Key", "ParameterKey", "OptionName", "VariableName")
"""Members that name another member of their object, which is one of PAIR_VALUES."""
PAIR_VALUES = frozenset({"value", "Value", "val", "ParameterValue", "OptionValue"})
FIELD_NAMES = ("element", "selector", "locator", "placeholder", "field", "label")
"""Members that name the input field that a browser agent types into."""
FIELD_VALUES = frozenset({"text", "value", "input"})
FIELD_OF_SECRET = re.compile(
    r"(?i)passw|passcode|passphrase|secret|\b(?:otp|pin|cvv|cvc)\b|api[_ -]?key"
)
_ARGUMENT = r'(?:[ \t]|\\{0,7}"[ ]?,[ ]?\\{0,7}")'
_NAMED = r"[A-Za-z0-9_]{0,40}(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL)"
SECRET_COMMANDS = tuple(
    each.replace(" ", _ARGUMENT)
    for each in (
        r"\bgh auth token",
        r"\bglab auth token",
        r"\bvault (?:kv )?(?:get|read)",
        r"\bop (?:read|item get)",
        r"\bbw get",
        r"\b(?:go)?pass show",
        r"\bgcloud (?:secrets versions access|auth print-(?:access|identity)-token)",
        r"secretsmanager get-secret-value",
        r"--with-decryption",
        r"\baz (?:keyvault secret show|account get-access-token)",
        r"\bfind-(?:generic|internet)-password",
        r"\b(?:kubectl|oc) get secrets?",
        r"\bdoppler secrets get",
        r"\bheroku config:get",
        r"\bchamber read",
        r"\bprintenv " + _NAMED,
        r"\becho \\{0,7}[\"']?\$[{]?" + _NAMED,
        (
            r"\b(?:cat|head|tail|base64|less) [^\"'\s|;&<>]{0,160}"
            r"(?:/secrets?/|secret|password|passwd[^\"'\s]|token|api[_-]?key|credential|\.pgpass)"
        ),
    )
)
"""Commands that print a secret and nothing else, as text or as a list of arguments."""
SECRET_COMMAND = re.compile("|".join(SECRET_COMMANDS).encode())
OUTPUT_NAMES = frozenset(
    {
        "output",
        "stdout",
        "result",
        "aggregated_output",
        "formatted_output",
        "content",
        "text",
        "response",
        "observation",
    }
)
TABLE_COLUMNS = ("columns", "fields", "header", "headers", "cols", "column_names")
TABLE_ROWS = frozenset({"rows", "data", "values", "records", "results"})
PAIR_BEFORE = re.compile(
    rb'(?:"(' + "|".join((*PAIR_NAMES, *FIELD_NAMES)).encode() + rb')\\*"[ \t]*:|(\[)|,)[ \t]*\\*\Z'
)
COLUMN_BEFORE = re.compile(
    rb'"(?:' + "|".join(TABLE_COLUMNS).encode() + rb')\\*"[ \t]*:[ \t]*\[[^\[\]]{0,400}\Z'
)
EMAIL_AFTER = re.compile(
    rb"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}[A-Za-z]{2,24}"
)
EMAIL_BEFORE = re.compile(rb"(?:[A-Za-z0-9][A-Za-z0-9._%+-]{0,63})?\Z")
OLD_VAULT_TOKEN = re.compile(rb"(?:\b|_|\\[nrtbf]|m)s\.[A-Za-z0-9]{24}\b")
PERCENT_EQUALS = re.compile(rb"%3[dD]")
NAMED_ENTITY = re.compile(rb"&(?:amp|quot|lt|gt|apos);")

# -- encoded text; each pattern begins with its literal, which Python's engine finds far faster than
# a repetition or a set
BASE64_NOT_HEX = re.compile(rb"[G-Zg-z][A-Za-z0-9+/]{39}")
BASE64_RUN = re.compile(rb"[A-Za-z0-9+/_-]{24,65536}={0,2}")
HEX_OF_TEXT = re.compile(rb"(?:[2-7][0-9A-Fa-f]|0[9aAdD])+[0-9A-Fa-f]?")
BASE32 = re.compile(rb"[A-Z2-7]{24,}")
# lines of xxd, of hexdump -C and od -t x1, of hexdump and od -x, and of od -c, with the newline
# before the next
_NEXT_ROW = r"(?:\n(?=[ \t]{0,8}[0-9A-Fa-f]{6,8}:?[ ])|(?=\n)|\Z)"
XXD_LINE = re.compile(
    r"^[ \t]{0,8}[0-9A-Fa-f]{6,8}:[ ]((?:[0-9A-Fa-f]{2,4}[ ]?){1,16})[^\n]{0,60}" + _NEXT_ROW,
    re.MULTILINE,
)
HEXDUMP_LINE = re.compile(
    r"^[ \t]{0,8}[0-9A-Fa-f]{7,8}[ ]{1,3}((?:[0-9A-Fa-f]{2}[ ]{1,2}){0,15}[0-9A-Fa-f]{2})[ ]{0,60}"
    r"(?:[|>][^\n]{0,20})?" + _NEXT_ROW,
    re.MULTILINE,
)
WORD_DUMP_LINE = re.compile(
    r"^[ \t]{0,8}[0-9A-Fa-f]{7}[ ]{1,4}((?:[0-9A-Fa-f]{4}[ ]{1,4}){0,7}[0-9A-Fa-f]{4})[ ]{0,60}"
    + _NEXT_ROW,
    re.MULTILINE,
)
CHARACTER_DUMP_LINE = re.compile(
    r"^[0-7]{7}((?:[ ]{3}[^\n]|[ ]{2}\\[0abfnrtv]|[ ][0-7]{3}){1,16})" + _NEXT_ROW, re.MULTILINE
)
CHARACTER_CODES = re.compile(r"(?:[0-9]{2,3}[ \t\r\n]{0,8},[ \t\r\n]{0,8}){9,}[0-9]{2,3}")
HEX_CODES = re.compile(r"(?:0x[0-9A-Fa-f]{2}[ \t\r\n]{0,8},[ \t\r\n]{0,8}){9,}0x[0-9A-Fa-f]{2}")
CHR_CALL = re.compile(r"(?i)chr\(([0-9]{2,3})\)(?:[ ]?[.+&][ ]?)?")
OCTAL_ESCAPES = re.compile(r"\\{1,16}[01][0-7]{2}(?:\\{1,16}[01][0-7]{2}){3,}")
CODE = re.compile(r"0x[0-9A-Fa-f]{2}|[0-9]{2,3}")
OCTAL_DIGITS = re.compile(r"[01][0-7]{2}")
JOINT = r"""["'`][ \t]{0,4}(?:[+.&]|\.\.|\\)[ \t]{0,4}(?:\r?\n[ \t]{0,40})?\\{0,7}["'`]"""
JOINED_LITERALS = re.compile(
    r"""(\\{0,7}["'`])[ \t]{0,4}(?:[+.&]|\.\.|\\)[ \t]{0,4}(?:\r?\n[ \t]{0,40})?\1"""
)
UNICODE_ESCAPES = re.compile(
    r"\\\\{0,15}u(?:[0-9a-fA-F]{4}|\{[0-9a-fA-F]{1,6}\})(?:\\{1,16}u(?:[0-9a-fA-F]{4}"
    r"|\{[0-9a-fA-F]{1,6}\}))*"
)
UNICODE_ESCAPE_DIGITS = re.compile(r"u(?:([0-9a-fA-F]{4})|\{([0-9a-fA-F]{1,6})\})")
BYTE_ESCAPES = re.compile(r"\\\\{0,15}x[0-9a-fA-F]{2}(?:\\{1,16}x[0-9a-fA-F]{2})*")
BYTE_ESCAPE_DIGITS = re.compile(r"x([0-9a-fA-F]{2})")
PERCENT_RUN = re.compile(r"%[0-9A-Fa-f]{2}(?:%[0-9A-Fa-f]{2})*")
QUOTED_PRINTABLE = re.compile(r"=(?:[0-9A-F]{2}(?:=[0-9A-F]{2}){2,}|\r?\n)")
ENTITY = re.compile(r"&#x?[0-9a-fA-F]{1,6};|&(?:amp|quot|lt|gt|apos);")
ANSI = re.compile(
    r"\x1b(?:\[[0-9;?]{0,32}[A-Za-z]|[()][AB0-2]|\][^\x07\x1b]{0,256}(?:\x07|\x1b\\))"
)
OVERSTRUCK = re.compile(r"[^\x08]\x08")
INVISIBLE = re.compile(
    "[\x00-\x07\x0e-\x1a\x7f\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-"
    "\u206f\ufe00-\ufe0f\ufeff]"
)
COMPATIBLE = re.compile(
    "[\u00aa-\u00ba\u02b0-\u02b8\u1d2c-\u1d6a\u2070-\u209f\u2100-\u214f\u2460-\u24ff"
    "\ufe50-\ufe6b\uff01-\uff5e\U0001d400-\U0001d7ff]"
)
TOKEN_RUN = re.compile(rb"[A-Za-z0-9+/_=.-]*+")
UNDIVIDED_RUN = re.compile(rb"(?:[ \t\r\n\[{*\\]|(?<=\\)[nrt])++|[A-Za-z0-9+/_=.%~-]++")
TOKEN_JOIN = re.compile(
    rb"""(?:\\{1,15}"|['`])[ \t]{0,4}(?:[+.&]|\.\.|\\{2,16})[ \t]{0,4}"""
    rb"""(?:\\{1,16}[nr][ \t]{0,40})?(?:\\{1,15}"|['`])"""
)
TOKEN_BREAK = re.compile(rb'\\{1,16}(["nr])|"')
COMPRESSED_START = re.compile(
    rb"(?:\A|\\[nrt]|[^A-Za-z0-9+/_-])(?:H4sIA|QlpoO|e[AFJN][A-Za-z0-9+/_-]{6})\Z"
)
BLOCK_START = re.compile(rb"-----BEGIN|PuTTY-User-Key-File")
LINE_WRAP = re.compile(
    rb"[\r\n](?<=[A-Za-z0-9+/_=.-][\r\n])(?:(?<=\r)\n)?[ \t>|]{0,16}(?=[A-Za-z0-9+/_=.-])"
)

# -- streamed messages
STREAM_END = re.compile(
    rb'"(?:type|sessionUpdate|object|kind|method)"[ ]?:[ ]?"[^"]{0,80}(?:stop|done'
    rb'|completed?|end(?:ed)?|finish(?:ed)?|final|failed|abort(?:ed)?)"'
    rb'|"done"[ ]?:[ ]?true'
)
STREAM_END_KIND = re.compile(
    r"(?:stop|done|completed?|end(?:ed)?|finish(?:ed)?|final|failed|abort(?:ed)?)\Z"
)

# -- repair
NOT_A_NUMBER = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+"?)|-?Infinity|NaN', re.DOTALL)
SURROGATE = re.compile(
    (
        rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
        rb"|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)"
    ),
    re.DOTALL,
)
