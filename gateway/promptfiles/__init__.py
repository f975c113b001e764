"""Prompt files in, rendered messages out: pure, and distrustful of both the author and the variables.

prompty        a .prompty file ⇄ name, content and metadata
front_matter   the YAML half: values that know their line; aliases, tags and duplicate keys are refused
body           the text half: role markers and parts ⇄ messages
fields         inputs, outputs, model options: front matter ⇄ what the content holds
inputs         the variables of a request, checked against the declared inputs
syntax         which Jinja2 a template may use, checked on its syntax tree
template       one part compiled: sandboxed, strict, with caps on steps, output and time
difference     two versions: by part, by field, and as text
compiled       a whole version compiled, with everything that never changes rendered once
"""
