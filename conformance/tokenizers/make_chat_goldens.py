#!/usr/bin/env python3
"""Makes core/src/test/resources/chat/golden.json: chat templates in the style of well-known families, written for this test, and small
templates for each rule of the language, with what transformers renders.

usage: make_chat_goldens.py OUTPUT_FILE      (needs transformers==5.23.0)
"""
import json, sys
from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

LLAMA2 = """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"""

LLAMA3 = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message comes first, so it is taken out of the loop. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if builtin_tools is defined or tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{%- if builtin_tools is defined %}
    {{- "Tools: " + builtin_tools | reject('equalto', 'code_interpreter') | join(", ") + "\\n\\n"}}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {{- "You have access to the following functions.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}

{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("Cannot put tools in the first user message when there's no first user message!") }}
{%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {{- "Given the following functions, please respond with a JSON for a function call.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

MISTRAL = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}

{#- The roles alternate, tools aside. #}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}
                {{- ", " }}
            {%- else %}
                {{- "]" + eos_token }}
            {%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
"""

QWEN2 = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

QWEN3 = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\nYou may call one or more functions to assist with the user query.\\n\\nYou are provided with function signatures within <tools></tools> XML tags:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""

GEMMA2 = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"""

GEMMA3 = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '

' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
"""

MARKED = """{% for m in messages %}{% if m.role == 'assistant' %}A: {% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}
{% else %}U: {{ m.content }}
{% endif %}{% endfor %}"""

SYS = dict(role="system", content="You are terse. ")
U1, A1, U2 = dict(role="user", content=" What is 2+2? "), dict(role="assistant", content="4 é 😀 <b>\"x\"</b>"), dict(role="user", content="And 3*3?")
TOOL = dict(type="function", function=dict(name="multiply", description="Multiplies two numbers; \"quotes\" & <tags>, ü", parameters=dict(type="object", properties=dict(a=dict(type="number"), b=dict(type="number", enum=[1, 2.5, True, None])), required=["a", "b"])))
CALL = dict(role="assistant", content="", tool_calls=[dict(type="function", id="abcdef123", function=dict(name="multiply", arguments=dict(a=3, b=3.0)))])
RESULT = dict(role="tool", tool_call_id="abcdef123", content="9")
THINK = dict(role="assistant", content="<think>\nlet me see\n</think>\n\n9")
REASON = dict(role="assistant", content="9", reasoning_content="three threes")
CONVERSATIONS = [[U1], [SYS, U1], [U1, A1, U2], [SYS, U1, A1, U2], [U1, CALL, RESULT], [U1, THINK, U2], [U1, A1, U2, REASON], [U1, A1], [A1, U1], [],
                 [dict(role="user", content=[dict(type="image"), dict(type="text", text="What is it? ")])], [SYS, dict(role="user", content=None)]]

SMALL = [
    "{{ a }}|{{ b }}|{{ none }}|{{ true }}|{{ 1.0 }}|{{ 1e20 }}|{{ 1.5e-7 }}|{{ x.y is defined }}", "{{ missing }}|{{ missing|default('d') }}|{{ ''|default('e', true) }}|{{ missing is undefined }}",
    "{% for i in [1,2,3] %}{{ i }}{% if not loop.last %},{% endif %}{% else %}none{% endfor %}", "{% for i in [] %}x{% else %}none{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for i in range(10) if i % 2 %}{{ loop.index }}:{{ i }} {% endfor %}",
    "{% for i in range(6) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% set x = 1 %}{% for i in [1,2] %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}", "{% set ns = namespace(n=0) %}{% for i in [1,2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
    "{% set x %}a{{ 1 }}b{% endset %}{{ x|upper }}", "{% set a, b = 1, 2 %}{{ b }}{{ a }}", "{% macro m(x, y='d') %}[{{ x }}{{ y }}]{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(y=3, x=4) }}",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}in{% endcall %}", "{% filter upper %}abc{% endfilter %}", "{% with q = 5 %}{{ q }}{% endwith %}{{ q is defined }}",
    "  {% if true %}\n  yes\n  {% endif %}\nend", "a  {%- if true -%}  b  {%- endif -%}  c", "{%+ if true %} x {% endif +%}\ny", "a {# comment #}\nb\n  {# c2 #}\nc\n", "{% raw %}{{ x }}{% endraw %}\n{{ 1 }}\n\n",
    "{{ 'a' if false }}|{{ 'a' if false else 'b' if true else 'c' }}", "{{ 1 + 2 * 3 ** 2 // 4 - 7 % 3 }} {{ 7 / 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** -1 }} {{ 'a' ~ 1 ~ none }} {{ 'ab' * 2 }} {{ [1] + [2] }}",
    "{{ 1 < 2 < 3 }} {{ 1 in [1] }} {{ 2 not in [1] }} {{ 'a' in 'abc' }} {{ 'k' in d }} {{ not 1 == 2 }} {{ 1 == 1.0 == true }}", "{{ 1 and 0 or 'x' }} {{ [] or {} }} {{ not [] }}",
    "{{ l[0] }}{{ l[-1] }}{{ l[1:] }}{{ l[::-1] }}{{ l[:2] }}{{ 'hello'[1:3] }}{{ 'hello'[-1] }}{{ l[7] is defined }}{{ 'abc'[::-1] }}{{ l[-2:] }}", "{{ {'a': 1, 'b': [1, 'x', none, true]} }}{{ (1, 2)[1] }}{{ ['it''s', \"q\\\"\"] }}",
    "{{ ' x '|trim }}{{ 'a,b'.split(',') }}{{ 'a b  c'.split() }}{{ 'abc'.startswith('ab') }}{{ 'abc'.replace('b', 'x') }}{{ 'x'.join(['1', '2']) }}{{ 'abc'.find('c') }}{{ 'ß'.upper() }}{{ 'a-b c'.title() }}{{ 'aBC'|capitalize }}",
    "{{ '--a--'.strip('-') }}{{ 'xxa'.lstrip('x') }}{{ 'a,b,c'.split(',', 1) }}{{ 'a,b,c'.rsplit(',', 1) }}{{ 'abc'.removeprefix('a') }}{{ '%s-%d' % ('a', 3) }}{{ '{} {n}'.format(1, n=2) }}{{ '42'|int + 1 }}{{ 'x'|int(7) }}{{ '1.5'|float }}{{ 3.7|round }}{{ 3.14159|round(2) }}",
    "{{ d|tojson }}{{ 'é<\"'|tojson }}{{ d|tojson(indent=2) }}{{ [1,2]|tojson(separators=(',', ':')) }}{{ {'b': 1, 'a': 2.0}|tojson(sort_keys=true) }}{{ []|tojson(indent=2) }}{{ 'é😀'|tojson(ensure_ascii=true) }}",
    "{{ l|length }}{{ l|first }}{{ l|last }}{{ l|join('-') }}{{ l|reverse|list }}{{ [3,1,2]|sort }}{{ [3,1,2]|sort(reverse=true) }}{{ ['b','A','a']|sort }}{{ ['b','A','a']|unique|list }}{{ l|sum }}{{ l|max }}{{ l|min }}",
    "{{ rows|map(attribute='n')|list }}{{ rows|selectattr('n', 'gt', 1)|list }}{{ rows|rejectattr('b')|map(attribute='n')|join(',') }}{{ ['a','']|select|list }}{{ ['a','b']|map('upper')|list }}{{ [1,2,3,4]|select('even')|list }}{{ rows|groupby('b')|length }}",
    "{{ d|dictsort }}{{ d|items|list }}{{ d.get('k') }}{{ d.get('zz', 9) }}{{ d.keys()|list }}{{ d.values()|list }}{{ d['k'] }}{{ d.k }}", "{{ 'a\nb\n\nc'|indent(2) }}|{{ 'a\nb'|indent(width=3, first=true) }}",
    "{{ 5 is odd }}{{ 4 is even }}{{ 6 is divisibleby 3 }}{{ 'x' is string }}{{ 1 is number }}{{ 1.0 is float }}{{ d is mapping }}{{ l is sequence }}{{ l is iterable }}{{ none is none }}{{ true is boolean }}{{ 1 is not string }}{{ 'A' is upper }}{{ 1 is eq 1 }}{{ 3 is in [3] }}",
    "{% for i in [1,2] %}{{ loop.index }}{{ loop.revindex }}{{ loop.first }}{{ loop.length }}{{ loop.cycle('o','e') }}{{ loop.previtem is defined }}{% endfor %}", "{% for n in tree recursive %}{{ n.v }}{% if n.c %}({{ loop(n.c) }}){% endif %}{% endfor %}",
    "{% if a == 1 %}one{% elif a == 2 %}two{% else %}many{% endif %}", "{{ 'x' 'y' }}{{ \"\\u00e9\\t|\\\\n\" }}", "{{- 'a' -}}\n\n  {{- 'b' }}  \n", "{% set d2 = dict(d, z=1) %}{{ d2.z }}{{ d2.k }}", "{{ strftime_now('%Y') | length }}",
    "{% for c in 'héy' %}{{ c }}.{% endfor %}", "{{ missing.attr }}", "{{ missing + 1 }}", "{{ 1 + 'a' }}", "{{ raise_exception('no ' ~ 1) }}", "{% if %}", "{{ 'a' ", "{% for x in 5 %}{% endfor %}", "{{ x | nosuchfilter }}", "{% endif %}", "{{ d.pop('k') }}", "{{ l.append(1) }}",
    "{{ ''.__class__ }}", "{{ 1 / 0 }}", "{{ range(200000)|length }}", "{% nosuchtag %}", "{{ foo() }}", "{{ a.b.c }}", "{{ none.x is defined }}", "{{ d.nope is none }}{{ d.nope is defined }}", "{{ (a, ) }}", "{{ a if a is defined and a > 0 else 'neg' }}",
    "{{ none|selectattr('a')|list }}{{ none|map('upper')|list }}{{ 0|select|list }}{{ none|rejectattr('a', 'equalto', 1)|list|length > 0 }}", "{{ none|list }}", "{{ 3|map('upper')|list }}",
    "{%- for m in rows -%}\n{{ m.n }}\n{%- endfor -%}\nend", "{{ [1, 2,] }}{{ {'a': 1,} }}", "{{ not a }}{{ -a }}{{ - 3 + 5 }}{{ -2 ** 2 }}", "{{ 'a' in missing }}{{ missing|length }}{{ missing|list }}", "{{ 10 // 3.0 }} {{ 2 ** 40 }}", "{{ 'abc'|replace('b', '') }}{{ 1|string + '1' }}", "{{ l|tojson|length }}",
    "{{ true and none }}{{ 'ab' < 'b' }}{{ [1, 2] < [1, 3] }}", "{%- set t = 'x' -%} {{ t }} {%- set t = t ~ 'y' %} {{ t }}", "{{ 'a\\nb'.splitlines() }}{{ '  '.isspace() }}{{ '12'.isdigit() }}{{ 'a'|e }}{{ '<'|e }}{{ 'a b'|wordcount }}",
    "{{ dict(z=1, a=2, m=3) }}{{ dict(call_id=1, content=2, zeta=3, alpha=4)|tojson }}{{ namespace(b=1,a=2).b }}",
    "{% macro m(a, b) %}{{a}}-{{b}}{% endmacro %}{{ m(*[1,2]) }}{{ m(**{'b':1,'a':2}) }}{{ m(1, *[2]) }}",
    "{{ 'a,b,c'.rsplit(',', 1) }}{{ 'abc'.partition('b') }}{{ 'abcbd'.rpartition('b') }}{{ 'a  b c'.split(none, 1) }}{{ 'a  b c'.split(maxsplit=1) }}{{ 'x=1=2'.split('=', maxsplit=1) }}{{ 'x=1=2'.split(sep='=') }}",
    "{{ 'aXbX'.replace('X', '-') }}{{ 'aaa'.replace('a', 'b', 2) }}{{ 'aaa'|replace('a', 'b', 1) }}{{ 'abc'.replace('', '-') }}",
    "{{ 'Hello World'.swapcase() }}{{ 'hello'.capitalize() }}{{ 'HELLO wORLD'.title() }}{{ \"they're bill's\"|title }}{{ \"they're bill's\".title() }}{{ 'Stra\u00dfe \u00c0\u00c9 ﬁ İ'.upper() }}{{ 'Stra\u00dfe \u00c0\u00c9 ﬁ İ'.lower() }}{{ 'Stra\u00dfe \u00c0\u00c9 ﬁ İ'.casefold() }}{{ 'Stra\u00dfe \u00c0\u00c9 ﬁ İ'|upper }}{{ 'Stra\u00dfe \u00c0\u00c9 ﬁ İ'|title }}{{ 'Stra\u00dfe \u00c0\u00c9 ﬁ İ'|capitalize }}",
    "{{ 'abc'.startswith(('x', 'a')) }}{{ 'abc'.startswith('b', 1) }}{{ 'abc'.endswith('c') }}{{ 'abc'.find('z') }}{{ 'abcabc'.rfind('b') }}{{ 'abcabc'.count('b') }}{{ 'abc'.index('c') }}{{ 'abcabc'.find('b', 2) }}",
    "{{ 'a\\nb\\r\\nc\\n'.splitlines() }}{{ 'a\\nb\\r\\nc\\n'.splitlines(true) }}{{ 'a\\x0bb\\x0cc\\x85d\\u2028e'.splitlines() }}{{ ''.splitlines() }}",
    "{{ 'a'.join(['1','2']) }}{{ ', '.join(d) }}{{ ','.join([1,2]) }}",
    "{{ '%s and %d and %.2f and %5s|%-5s|%05d|%x|%%' % ('a', 3, 2.5, 'r', 'l', 42, 255) }}{{ '%s' % 'x' }}{{ '%s' % [1] }}{{ '%(a)s' % {'a': 1} }}{{ '%r' % 'x' }}{{ '%e %g' % (1234.5, 0.00001) }}",
    "{{ '%s %s'|format('a', 1) }}{{ '%(a)s'|format(a=5) }}{{ '%.1f'|format(2.25) }}{{ '%+d % d'|format(3, 4) }}",
    "{{ '{} {}'.format(1, 'a') }}{{ '{1} {0}'.format(1, 2) }}{{ '{a} {b!r}'.format(a=1, b='x') }}{{ '{:.2f}|{:>5}|{:<5}|{:^5}|{:05d}|{:,}|{:x}|{:%}'.format(3.14159, 'r', 'l', 'c', 42, 1234567, 255, 0.5) }}{{ '{{}}'.format() }}{{ '{0[0]} {0[1]}'.format([1,2]) }}{{ '{:*^9}'.format('mid') }}{{ '{:+}'.format(3) }}{{ '{:e}'.format(1234.5) }}",
    "{{ true is true }}{{ 1 is true }}{{ false is false }}{{ 0 is false }}{{ none is false }}{{ 1 is sameas 1 }}{{ 1 is sameas true }}{{ 1.0 is sameas 1 }}{{ 'x' is sameas 'x' }}{{ none is sameas none }}{{ true is sameas true }}",
    "{{ 5 is gt 3 }}{{ 5 is lessthan 3 }}{{ 5 is ge(5) }}{{ 5 is ne 4 }}{{ 'a' is in ['a'] }}{{ 'a' is in('abc') }}{{ 5 is not in [1] }}{{ 5 is eq(5) and 3 is odd }}{{ 5 is divisibleby(5) }}{{ 'x' is lower }}{{ 'X' is upper }}{{ '1' is lower }}{{ 'upper' is filter }}{{ 'nope' is filter }}{{ 'odd' is test }}{{ 'x' is escaped }}",
    "{{ a is string or a is number }}{{ a is number is true }}",
    "{% set m = cycler('a', 'b') %}{{ m.next() }}{{ m.next() }}{{ m.next() }}{{ m.current }}",
    "{% set j = joiner(', ') %}{% for i in l %}{{ j() }}{{ i }}{% endfor %}",
    "{% for i in [] %}{% else %}empty{% endfor %}{% for i in l %}{% break %}{% else %}x{% endfor %}",
    "{{ strftime_now('%Q') }}",
    "{{ d.__len__ is defined }}{{ d['__class__'] is defined }}{{ (d|attr('keys'))() is defined }}{{ d|attr('k') is defined }}{{ d|attr('__class__') is defined }}",
    "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}",
    "{% set ns = namespace() %}{% set ns.a = 1 %}{{ ns.a }}{{ ns.b is defined }}{{ ns }}",
    "{{ ('word ' * 30)|truncate }}{{ ('word ' * 30)|truncate(20, leeway=0) }}",
    "{{ rows[0]|attr('n') is defined }}{{ d|attr('k') is defined }}{{ (d|attr('keys'))() is defined }}",
    "{% set _dummy = none %}{{ _dummy }}{% set a1, (b1, c1) = 1, (2, 3) %}{{ c1 }}",
    "{% set ns = namespace(_x=1) %}",
    "{{ \"%d\" % 2.7 }}{{ \"%d\" % true }}{{ \"%c\" % 65 }}{{ \"%i\" % 3 }}{{ \"%5.1f|%-8.3f|\" % (2.25, 3.14159) }}{{ \"%10s|%-10s|\" % (\"\u00e9\", \"\u00e9\") }}{{ \"%.2s\" % \"abc\" }}{{ \"%o %X %#x\" % (8, 255, 255) }}",
    "{% raw %}\n {{ x }}\n{% endraw %}\ny",
    "{% block b %}in block{% endblock %}",
    "{% autoescape false %}{{ '<' }}{% endautoescape %}",
    "{{ l|batch(2)|list }}{{ l|batch(2, 'x')|list }}{{ l|slice(2)|list }}",
    "{{ 'abc'|center(9) }}|{{ 'abc'.center(9) }}|{{ 'abc'.ljust(6) }}|{{ 'abc'.rjust(6) }}|{{ 'abc'.center(8, '*') }}",
    "{{ 'hello world foo bar'|truncate(10) }}|{{ 'hello world foo bar'|truncate(10, true) }}|{{ 'hello'|truncate(10) }}|{{ 'hello world'|truncate(8, true, '..', 0) }}",
    "{{ '0x1A'|int(0, 16) }}{{ '1A'|int(base=16) }}{{ '12.7'|int }}{{ 12.7|int }}{{ -12.7|int }}{{ 'abc'|int }}{{ none|int }}{{ '1e3'|int }}{{ true|int }}{{ l|int(5) }}",
    "{{ '1e3'|float }}{{ 'x'|float }}{{ 'x'|float(1.5) }}{{ 3|float }}{{ 'nan'|float }}{{ 'inf'|float }}{{ '1_000'|float }}",
    "{{ 2.5|round }}{{ 3.5|round }}{{ 2.345|round(2) }}{{ 2.3|round(0, 'ceil') }}{{ 2.7|round(method='floor') }}{{ 1234|round(-2) }}{{ 5|round }}",
    "{{ 7 // 2 }}{{ -7 // 2 }}{{ 7 % -3 }}{{ 7.5 % 2 }}{{ -7.5 % 2 }}{{ 7.5 // 2 }}{{ 2 ** 0.5 }}{{ 2 ** 10 }}{{ 1 / 3 }}{{ 10 / 5 }}{{ 1e16 }}{{ 1e15 }}{{ 123456789.123 }}{{ 0.1 + 0.2 }}{{ 1e-5 }}{{ 0.0001 }}{{ 1e100 }}",
    "{{ true + true }}{{ true * 3 }}{{ 'a' * 0 }}{{ 'a' * -1 }}{{ [1] * 3 }}{{ 3 * [0] }}{{ (1,) + (2,) }}{{ (1, 2) * 2 }}",
    "{{ [1, 2] == [1, 2] }}{{ (1, 2) == [1, 2] }}{{ {'a': 1} == {'a': 1.0} }}{{ 'a' == 'A'|lower }}{{ none == false }}{{ 0 == false }}{{ '' == none }}{{ 1 != 1.0 }}",
    "{{ [1, [2, [3]]] }}{{ [] }}{{ {} }}{{ () }}{{ (1,) }}{{ ('a', 'b') }}{{ [none, true, 'x'] }}{{ \"it's\" }}{{ [\"it's\", 'say \"hi\"', 'both \\' and \"'] }}{{ ['\\n\\t\\\\', '\u00e9', '😀', '\\u200b', '\\x00'] }}",
    "{% for a, (b, c) in [[1,[2,3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{{ d }}{{ rows }}{{ [1, 'a', none] }}{{ 1e300 }}{{ 2.5 }}{{ [1e300, 0.1, -0.0] }}{{ 1.0 * 3 }}",
    "{{ l|max }}{{ ['b', 'A', 'c', 'a']|max }}{{ ['b', 'A', 'c', 'a']|min }}{{ ['b', 'A', 'c', 'a']|max(case_sensitive=true) }}{{ rows|max(attribute='n') }}{{ []|max is defined }}",
    "{{ ['b', 'A', 'c', 'a']|unique|list }}{{ ['b', 'A', 'c', 'a']|unique(case_sensitive=true)|list }}{{ rows|unique(attribute='b')|list|length }}",
    "{{ rows|groupby('b')|list }}{% for g in rows|groupby('b') %}{{ g.grouper }}:{{ g.list|length }};{% endfor %}{% for k, v in rows|groupby('b') %}{{ k }}{{ v|map(attribute='n')|join }}{% endfor %}",
    "{{ {'a': 1, 'b': 2}.items()|list }}{{ {'a': 1}|tojson }}{{ {'a': none}|tojson(indent=none) }}{{ d|tojson(indent=4) }}{{ [[], {}, [1], {'a': {}}]|tojson(indent=1) }}{{ [1]|tojson(indent=0) }}{{ d|tojson(indent='--') }}",
    "{{ tree.0.c.1.c.0.v }}{{ [[[0, 1], [2, 3]]].0.1.1 }}",
    "|{{ \" 1 2 3 4 5 \".split(none, 0) | join(\",\") }}|{{ \" 1 2 3 4 5 \".split(none, 3) | join(\",\") }}|{{ \" 1 2 3 4 5 \".split(\" \", 0) | join(\",\") }}|{{ \" 1 2 3 4 5 \".split(\" \", 3) | join(\",\") }}|{{ \" 1 2 3 4 5 \".split(\" \", 10) | join(\",\") }}|",
]
VARS = dict(a=1, b="text é", d={"k": "v", "n": 2, "f": 1.5, "l": [1, "x"], "t": True, "z": None}, l=[1, 2, 3], x={}, rows=[dict(n=1, b=True), dict(n=2, b=False), dict(n=3, b=True)],
            tree=[dict(v=1, c=[dict(v=2, c=[]), dict(v=3, c=[dict(v=4, c=[])])]), dict(v=5, c=[])])


def main():
    out = dict(chat=[], small=[])
    families = dict(llama2=LLAMA2, llama3=LLAMA3, mistral=MISTRAL, qwen2=QWEN2, qwen3=QWEN3, gemma2=GEMMA2, gemma3=GEMMA3, marked=MARKED)
    out["templates"], out["special"] = families, dict(bos_token="<s>", eos_token="</s>")
    for name, template in families.items():
        for conversation in CONVERSATIONS:
            for options in (dict(), dict(add_generation_prompt=True), dict(tools=[TOOL, TOOL]), dict(tools=[TOOL], add_generation_prompt=True, enable_thinking=False), dict(continue_final_message=True), dict(custom_tools=None, date_string="1 Jan 2026"), dict(continue_final_message="reasoning_content")):
                if options.get("tools") and name in ("llama2", "gemma2", "gemma3", "qwen2", "marked"):
                    continue
                case = dict(template=name, messages=conversation, options=options)
                try:
                    if not conversation:
                        raise ValueError("empty")
                    if isinstance(options.get("continue_final_message"), str) and "reasoning_content" not in conversation[-1]:
                        continue
                    clean = [{k: v for k, v in m.items() if v is not None} for m in conversation]
                    text, spans = render_jinja_template([clean], chat_template=template, return_assistant_tokens_mask=name == "marked" and "continue_final_message" not in options, **out["special"], **options)
                    case["text"] = text[0]
                    if spans:
                        case["spans"] = [list(s) for s in spans[0]]
                except Exception as e:
                    case["error"] = str(e)[:120]
                out["chat"].append(case)
    for template in SMALL:
        case = dict(template=template)
        try:
            case["text"] = _compile_jinja_template(template).render(**VARS)
        except Exception as e:
            case["error"] = f"{type(e).__name__}: {e}"[:120]
        out["small"].append(case)
    out["variables"] = VARS
    json.dump(out, open(sys.argv[1], "w", encoding="utf-8"), ensure_ascii=False, indent=0)
    print(len(out["chat"]), len(out["small"]), [(c["template"], c["error"]) for c in out["small"] if "error" in c])


main()
