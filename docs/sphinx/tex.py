"""From TeX to MathML Core: the part of TeX that formulas of the docs use. What is not known is an error."""

import re
from html import escape
from typing import NamedTuple

from docutils.utils.math import mathalphabet2unichar, tex2unichar

TOKEN = re.compile(r"\\[a-zA-Z]+\*?|\\.|\d+(?:\.\d+)?|\s+|.", re.DOTALL)
ALPHABETS = {
    name: getattr(mathalphabet2unichar, name) for name in ("mathbb", "mathcal", "mathbf", "mathfrak", "mathsf")
}
ALPHABETS |= {"boldsymbol": mathalphabet2unichar.mathbfit, "mathtt": mathalphabet2unichar.mathtt}
FUNCTIONS = set(
    re.findall(r"\w+", "arccos arcsin arctan arg cos cosh cot deg dim exp ker lg ln log sec sin sinh tan tanh")
)
WITH_LIMITS = {"det", "gcd", "inf", "lim", "liminf", "limsup", "max", "min", "Pr", "sup"}
ACCENTS = {"hat": "ˆ", "tilde": "˜", "bar": "ˉ", "dot": "˙", "ddot": "¨", "vec": "→", "check": "ˇ"}
WIDE_ACCENTS = {"widehat": "^", "widetilde": "~", "overline": "‾", "overbrace": "⏞", "overrightarrow": "→"}
BELOW = {"underline": "_", "underbrace": "⏟"}
SPACES = {",": 0.167, ":": 0.222, ";": 0.278, "!": -0.167, " ": 0.333, "quad": 1, "qquad": 2}
SIZES = {"big": 1.2, "Big": 1.8, "bigg": 2.4, "Bigg": 3.0}
OPENING = {"(": "(", "[": "[", "lVert": "‖", "lvert": "|", **tex2unichar.mathopen}
CLOSING = {")": ")", "]": "]", "rVert": "‖", "rvert": "|", **tex2unichar.mathclose}
FENCES = {"|": "|", **{f"\\{name}": char for name, char in tex2unichar.mathfence.items()}}
OPERATORS = {**tex2unichar.mathrel, **tex2unichar.mathbin, "mid": "|", "iff": "⟺", "colon": ":", "lt": "<", "gt": ">"}
LETTERS = {**tex2unichar.mathalpha, **tex2unichar.mathord, **tex2unichar.mathpunct, "dots": "…", "hbar": "ℏ", "_": "_"}
# Of each environment: its fences, and how its columns are aligned, by turns.
ENVIRONMENTS = {
    **dict.fromkeys(("aligned", "align", "align*", "split"), ("", "", "rl")),
    **dict.fromkeys(("gathered", "gather", "gather*", "matrix"), ("", "", "c")),
    "pmatrix": ("(", ")", "c"),
    "bmatrix": ("[", "]", "c"),
    "vmatrix": ("|", "|", "c"),
    "cases": ("{", "", "l"),
}
ALIGNED = {"l": "left", "c": "center", "r": "right"}


class Part(NamedTuple):
    """MathML, and what it is: `letter`, `operator`, `open`, `close`, `function`, or one that has `limits` or a `brace`,
    below and above which scripts stand."""

    kind: str
    text: str


def mathml(tex: str, is_block: bool) -> str:
    """A formula as a <math> element.

    Raises:
        ValueError: for what this part of TeX does not have.
    """
    parser = Parser(tex)
    row = parser.row(())
    display = ' display="block"' if is_block else ""
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML"{display}>{row}</math>'


class Parser:
    """Reads tokens from left to right; each method takes what it names, and gives MathML."""

    def __init__(self, tex: str):
        self.tokens, self.place = TOKEN.findall(tex), 0

    def peek(self) -> str:
        """The next token that is no space; empty at the end."""
        while self.place < len(self.tokens) and self.tokens[self.place].isspace():
            self.place += 1
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.peek()
        if not token or (expected and token != expected):
            raise ValueError(f"expected {expected or 'more'}, got {token or 'the end'}")
        self.place += 1
        return token

    def row(self, stops: tuple[str, ...]) -> str:
        """All until one of the stops, which is left; of none, until the end."""
        parts: list[Part] = []
        while self.peek() not in (*stops, ""):
            before = parts[-1].kind if parts else "open"
            part = self.scripts(self.atom(before, stops), stops)
            is_word = part.kind in ("function", "limits") and not part.text.startswith("<mo>")
            if is_word and before in ("letter", "close", "function"):
                part = Part(part.kind, space(0.167) + part.text)
            if is_word and re.match(r"[a-zA-Z0-9]|\\(?!left|[bB]ig|[,;:!{|}&\\]|quad|qquad|lVert)", self.peek()):
                part = Part(part.kind, part.text + space(0.167))
            parts.append(part)
        if stops and not self.peek():
            raise ValueError(f"expected {stops[0]}, got the end")
        return f"<mrow>{''.join(part.text for part in parts)}</mrow>"

    def argument(self) -> str:
        if self.peek() == "{":
            return self.braced(self.row)
        if self.peek().isdigit():  # of \frac12, the first digit alone
            self.tokens[self.place : self.place + 1] = list(self.peek())
        return self.atom("open", ()).text

    def braced(self, read, stop: str = "}") -> str:
        self.take()
        content = read((stop,))
        self.take(stop)
        return content

    def words(self) -> str:
        """The characters of an argument, as they stand."""
        if self.peek() != "{":
            return self.take()
        start = self.place + 1
        self.take("{")
        depth = 1
        while depth:
            self.place += 1 if self.place < len(self.tokens) else self.take() == ""
            depth += {"{": 1, "}": -1}.get(self.tokens[self.place - 1], 0)
        return re.sub(r"\\[,:; ]", "\N{THIN SPACE}", "".join(self.tokens[start : self.place - 1]))

    def scripts(self, base: Part, stops: tuple[str, ...]) -> Part:
        """An atom with what is below and above it."""
        below = above = ""
        kind = base.kind
        while self.peek() in ("^", "_", "'", "\\limits"):
            token = self.take()
            if token == "\\limits":
                kind = "brace"
            elif token == "_":
                below = self.argument()
            else:
                above += "<mo>′</mo>" if token == "'" else self.argument()
        if not (below or above):
            return base
        names = ("munder", "mover", "munderover") if kind in ("limits", "brace") else ("msub", "msup", "msubsup")
        name = names[2 if below and above else 0 if below else 1]
        return Part(base.kind, f"<{name}>{base.text}{below}{f'<mrow>{above}</mrow>' if above else ''}</{name}>")

    def atom(self, before: str, stops: tuple[str, ...]) -> Part:
        token = self.take()
        if token.startswith("\\"):
            return self.command(token[1:], stops)
        if token == "{":
            self.place -= 1
            return Part("letter", self.braced(self.row))
        if token in "}&^_":
            raise ValueError(f"{token} stands where nothing is to its left")
        if token[0].isdigit():
            return Part("letter", f"<mn>{token}</mn>")
        if token.isascii() and token.isalpha():
            return Part("letter", f"<mi>{token}</mi>")
        if token in OPENING or token in CLOSING or token in FENCES:
            return delimiter(token)
        if token in "+-=<>*,;:":
            form = ' form="prefix"' if token in "+-" and before in ("operator", "open") else ""
            return Part("operator", f"<mo{form}>{escape({'-': '−', '*': '∗'}.get(token, token))}</mo>")
        if token in "/.!?":
            return Part("letter", f'<mo lspace="0" rspace="0">{token}</mo>')
        return Part("letter", f"<mtext>{escape(token)}</mtext>" if token != "~" else space(0.333))

    def command(self, name: str, stops: tuple[str, ...]) -> Part:
        if name in SPACES:
            return Part("open", space(SPACES[name]))
        if name in FUNCTIONS or name in WITH_LIMITS:
            return word(name, name in WITH_LIMITS)
        if name in tex2unichar.mathop:
            return Part("function" if "int" in name else "limits", f"<mo>{tex2unichar.mathop[name]}</mo>")
        if name in OPENING or name in CLOSING or f"\\{name}" in FENCES:
            return delimiter(f"\\{name}" if f"\\{name}" in FENCES else name)
        if name in OPERATORS:
            around = ' lspace="0.278em" rspace="0.278em" stretchy="false"' if name == "mid" else ""
            return Part("operator", f"<mo{around}>{escape(OPERATORS[name])}</mo>")
        if name in LETTERS:
            char = LETTERS[name]
            upright = ' mathvariant="normal"' if not char.isalpha() or char.isupper() else ""
            return Part("letter", f"<mi{upright}>{escape(char)}</mi>")
        return self.structure(name, stops)

    def structure(self, name: str, stops: tuple[str, ...]) -> Part:
        """What takes arguments."""
        if name in ("text", "textrm", "textit", "textbf", "mbox"):
            style = {"textbf": ' style="font-weight: bold"', "textit": ' style="font-style: italic"'}.get(name, "")
            return Part("letter", f"<mtext{style}>{escape(self.words()).replace(' ', '&#160;')}</mtext>")
        if name in ("mathrm", "operatorname", "operatorname*"):
            text = escape(self.words())
            return word(text, name.endswith("*")) if name != "mathrm" else Part("letter", upright(text))
        if name in ALPHABETS:
            chars = [LETTERS.get(token[1:], token) for token in TOKEN.findall(self.words())]
            return Part("letter", upright("".join(ALPHABETS[name].get(char, char) for char in chars)))
        if name in ("frac", "dfrac", "tfrac", "binom"):
            style = {"dfrac": ' displaystyle="true"', "tfrac": ' displaystyle="false"'}.get(name, "")
            line = ' linethickness="0"' if name == "binom" else ""
            text = f"<mfrac{line}>{self.argument()}{self.argument()}</mfrac>"
            text = f"<mo>(</mo>{text}<mo>)</mo>" if name == "binom" else text
            return Part("letter", f"<mrow{style}>{text}</mrow>")
        if name == "sqrt":
            root = self.braced(self.row, "]") if self.peek() == "[" else ""
            return Part(
                "letter", f"<mroot>{self.argument()}{root}</mroot>" if root else f"<msqrt>{self.argument()}</msqrt>"
            )
        if name in ACCENTS or name in WIDE_ACCENTS:
            char = f'<mo stretchy="{str(name in WIDE_ACCENTS).lower()}">{(ACCENTS | WIDE_ACCENTS)[name]}</mo>'
            kind = "brace" if name == "overbrace" else "letter"
            return Part(kind, f'<mover accent="true">{self.argument()}{char}</mover>')
        if name in BELOW:
            kind = "brace" if name == "underbrace" else "letter"
            return Part(kind, f"<munder>{self.argument()}<mo>{BELOW[name]}</mo></munder>")
        if name in ("overset", "underset", "stackrel", "xrightarrow"):
            mark = self.argument()
            base = '<mo stretchy="true">→</mo>' if name == "xrightarrow" else self.argument()
            tag = "munder" if name == "underset" else "mover"
            return Part("operator", f"<{tag}>{base}{mark}</{tag}>")
        return self.group(name, stops)

    def group(self, name: str, stops: tuple[str, ...]) -> Part:
        """What has an end of its own."""
        if name == "left":
            left, content = self.fence("prefix"), self.row(("\\right",))
            self.take("\\right")
            return Part("close", f"<mrow>{left}{content}{self.fence('postfix')}</mrow>")
        if name == "middle":
            return Part("operator", self.fence("infix"))
        if (size := name.rstrip("lrm")) in SIZES:
            char = delimiter(self.delimiter_name())
            height = f'minsize="{SIZES[size]}em" maxsize="{SIZES[size]}em"'
            return Part(char.kind, char.text.replace('stretchy="false"', f'stretchy="true" {height}'))
        if name == "begin":
            return Part("letter", self.environment(self.words()))
        if name == "substack":
            return Part("letter", self.braced(lambda stop: self.table("c", stop[0])))
        if name == "tag":
            return Part("letter", f"{space(2)}<mtext>({escape(self.words())})</mtext>")
        if name == "displaystyle":
            return Part("letter", f'<mstyle displaystyle="true">{self.row(stops)}</mstyle>')
        raise ValueError(f"\\{name} is not known")

    def delimiter_name(self) -> str:
        token = self.take()
        return token[1:] if token.startswith("\\") and token not in FENCES else token

    def fence(self, form: str) -> str:
        name = self.delimiter_name()
        if name == ".":
            return ""
        if name not in OPENING and name not in CLOSING and name not in FENCES:
            raise ValueError(f"{name} is no delimiter")
        return delimiter(name).text.replace('stretchy="false"', f'stretchy="true" form="{form}"')

    def environment(self, name: str) -> str:
        if name not in ENVIRONMENTS and name != "array":
            raise ValueError(f"\\begin{{{name}}} is not known")
        left, right, columns = ENVIRONMENTS.get(name, ("", "", ""))
        table = self.table(columns or re.sub("[^lcr]", "", self.words()), "\\end")
        self.take("\\end")
        if self.words() != name:
            raise ValueError(f"expected \\end{{{name}}}")
        fences = [f'<mo stretchy="true">{char}</mo>' if char else "" for char in (left, right)]
        return f"<mrow>{fences[0]}{table}{fences[1]}</mrow>"

    def table(self, columns: str, stop: str) -> str:
        rows: list[list[str]] = [[]]
        while True:
            rows[-1].append(self.row(("&", "\\\\", stop)))
            if self.peek() == stop:
                break
            if self.take() == "\\\\":
                if self.tokens[self.place : self.place + 1] == ["["]:  # more space, as in \\[4pt]
                    self.braced(self.row, "]")
                rows.append([])
        cell = '<mtd style="text-align: {}; padding: 0.2em {}">{}</mtd>'
        gap = "0" if columns == "rl" else "0.4em"
        lines = (
            "".join(cell.format(ALIGNED[columns[i % len(columns)]], gap, part) for i, part in enumerate(row))
            for row in rows
        )
        style = ' displaystyle="true"' if columns == "rl" else ""
        return f"<mtable{style}>{''.join(f'<mtr>{line}</mtr>' for line in lines)}</mtable>"


def delimiter(name: str) -> Part:
    char = {**OPENING, **CLOSING, **FENCES}.get(name)
    if char is None:
        raise ValueError(f"{name} is no delimiter")
    kind = "open" if name in OPENING else "close" if name in CLOSING else "letter"
    return Part(kind, f'<mo stretchy="false" lspace="0" rspace="0">{escape(char)}</mo>')


def word(name: str, has_limits: bool) -> Part:
    """The name of a function, upright."""
    if has_limits:
        return Part("limits", f'<mo movablelimits="true" lspace="0" rspace="0">{name}</mo>')
    return Part("function", upright(name))


def upright(text: str) -> str:
    return f'<mi mathvariant="normal">{text}</mi>'


def space(width: float) -> str:
    return f'<mspace width="{width}em"/>'
