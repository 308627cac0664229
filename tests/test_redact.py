"""Credentials are found by shape, by name and in the environment; training output is left alone."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit._redact import is_secret_name, redact, redact_value, secret_values

SHAPES = {
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "github": "ghp_" + "a1B2" * 9,
    "github-oauth": "gho_" + "a1B2" * 9,
    "slack": "xoxb-123456789012-abcdefABCDEF",
    "openai": "sk-proj-abcdEFGH1234ijkl5678",
    "databricks": "dapi" + "0123456789abcdef" * 2,
    "huggingface": "hf_" + "abcDEF123" * 4,
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w",
    "gitlab": "glpat-abcdEFGH1234ijkl5678",
    "google-oauth": "ya29.a0AfH6SMBabcdefgh1234",
    "stripe": "sk_live_a1B2c3D4e5F6",
    "sendgrid": "SG.abcdefghijklmnop12.abcdefghijklmnop34",
    "npm": "npm_" + "a1B2" * 9,
    "vault": "hvs.CAESIabcdefgh1234567890",
    "encrypted-pem": (
        "-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: AES-128-CBC,AB\n\nMIIE\n"
        "-----END RSA PRIVATE KEY-----"
    ),
    "pem": "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nabc=\n-----END RSA PRIVATE KEY-----",
}


@pytest.mark.parametrize("secret", SHAPES.values(), ids=SHAPES)
def test_shape_is_redacted(secret: str) -> None:
    """What has the shape of a known kind of credential goes, and what is around it stays."""
    assert redact(f"before {secret} after") == "before [redacted] after"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer [redacted]"),
        ("Authorization: Basic YW5uOmh1bnRlcjI=", "Authorization: Basic [redacted]"),
        ("sqlite://u:p@h/db and http://host/a@b", "sqlite://[redacted]@h/db and http://host/a@b"),
        ("http://u:p@ss@host/x", "http://[redacted]@host/x"),
        ("password=hunter2", "password=[redacted]"),
        ("DB_PASSWORD: correct-horse", "DB_PASSWORD: [redacted]"),
        ("{'api_key': 'abc', 'x': 1}", "{'api_key': '[redacted]', 'x': 1}"),
        ('{"clientSecret":"a\\"b"}', '{"clientSecret":"[redacted]"}'),
        ("?token=a1b2c3d4e5&x=1", "?token=[redacted]&x=1"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEow", "[redacted]"),
        ("ValueError: password=hunter2222", "ValueError: password=[redacted]"),
        ("error: token='abcdefgh12'", "error: token='[redacted]'"),
        ("a: b: c=d: secret: x1y2z3", "a: b: c=d: secret: [redacted]"),
        ("password=ab:cd=ef==", "password=[redacted]"),
        ("mysql://ann:a1/b2/c3@db/x", "mysql://[redacted]@db/x"),
        ("https://a1b2c3d4e5f6@github.com/org/x.git", "https://[redacted]@github.com/org/x.git"),
        ("https://h/c?sv=1&sig=a%2Bb%3D&se=2", "https://h/c?sv=1&sig=[redacted]&se=2"),
        ("https://s3/x?X-Amz-Signature=abcdef01", "https://s3/x?X-Amz-Signature=[redacted]"),
        ("https://hooks.slack.com/services/T0/B0/xyz", "https://hooks.slack.com/[redacted]"),
        ("https://h/api/webhooks/123/a-b_c", "https://h/api/webhooks/[redacted]"),
        ("https://api.telegram.org/bot1:abcde/get", "https://api.telegram.org/bot[redacted]"),
        ("PGPASSWORD=hunter2 psql", "PGPASSWORD=[redacted] psql"),
        ("MYSQL_PWD=/a/b/c1", "MYSQL_PWD=[redacted]"),
        ("Server=x;UID=sa;PWD=hunter2;", "Server=x;UID=sa;PWD=[redacted];"),
        ("pwd='hunter2'", "pwd='[redacted]'"),
        ("SMTP_PASS=hunter2", "SMTP_PASS=[redacted]"),
        ("AccountKey=a1b2==;EndpointSuffix=x", "AccountKey=[redacted];EndpointSuffix=x"),
        ("Ocp-Apim-Subscription-Key: a1b2c3", "Ocp-Apim-Subscription-Key: [redacted]"),
        ("Authorization: Token abcdefgh", "Authorization: Token [redacted]"),
        ("{'Authorization': 'SSWS a1'}", "{'Authorization': 'SSWS a1'}"),
        ("{'Authorization': 'a1b2c3d4e5', 'x': 1}", "{'Authorization': '[redacted]', 'x': 1}"),
        ("authorization: BEARER abcdefgh", "authorization: BEARER [redacted]"),
        ("Set-Cookie: session=a1b2c3d4; Path=/", "Set-Cookie: [redacted]"),
        ("login --password hunter2 --user ann", "login --password [redacted] --user ann"),
        ('{\\"password\\": \\"a1b2\\"}', '{\\"password\\": \\"[redacted]\\"}'),
        ("connect(password=b'hunter2')", "connect(password='[redacted]')"),
        ("password := hunter2", "password := [redacted]"),
        ("auth=a1b2c3d4e5", "auth=[redacted]"),
        ("get(auth=('ann', 'hunter2'))", "get(auth=('ann', '[redacted]'))"),
        ("curl -u ann:hunter2 https://h/x", "curl -u ann:[redacted] https://h/x"),
        ("Cookie: a=1; session=a1b2c3", "Cookie: [redacted]"),
        ("cookies={'JSESSIONID': 'a1b2c3d4e5'}", "cookies={'JSESSIONID': '[redacted]'}"),
        ("<password>hunter2</password>", "<password>[redacted]</password>"),
        ("password%3Dhunter2", "password%3D[redacted]"),
        ("login ann password hunter234", "login ann password [redacted]"),
        ("pwd: hunter234", "pwd: [redacted]"),
    ],
)
def test_assignment_and_header(text: str, expected: str) -> None:
    """A literal assigned to a secret name goes; its name stays, so that a message still tells."""
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=512 n_tokens: 1024 tokenizer='bpe' tokens/s: 1500",
        "token = tokens[i]",
        "    token = tokenizer.next_one()",
        "password=None, token=None",
        "password = getpass(prompt)",
        "pad_token='[PAD]'",
        "key: value, keys=3, random_key=PRNGKey(0)",
        "basic training with a bearer of news",
        "http://localhost:5000/#/experiments/1",
        "epoch 3/10 - loss: 0.123 - val_loss: 0.456",
        "risk-adjusted-return-over-a-year",
        "token_count=5 n_pass=2 pass@1=0.451234567 tokens>1000",
        "docker run -u 1000:1000 image; mlflow ui -u sqlite:///mlflow.db; password is required",
        "pwd && ls; cd $OLDPWD; the command pwd: prints /home/ann/project1",
        "PWD=/home/ann/project1 OLDPWD=/tmp",
        "signature=infer_signature(x, y), sig=1.234567e-05, signature: v1",
        "sort_key='name2', key=lambda row1: row1, public_key=abcd1234, auth: ok, author: jane12345",
        "https://github.com/org/repo.git ssh://git@host/x git@host:org/repo ann@example.com",
        "abfss://data2024set@account.dfs.core.windows.net/x http://localhost:8080/a@b",
        "http://[::1]:5000/a@b file:///C:/a@b https://h/x?page=2&key=rate#top",
        "authorization: required, cookie: none, https://react.dev/reference/hooks/useState",
    ],
)
def test_training_output_is_left_alone(text: str) -> None:
    """Words of machine learning that resemble secrets aren't any."""
    assert redact(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "password", "DB_PASSWORD", "userPasswd", "client_secret", "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID", "OPENAI_API_KEY", "apiKey", "APIKey", "apikey", "HF_TOKEN", "token",
        "MLFLOW_TRACKING_TOKEN", "private_key", "GOOGLE_APPLICATION_CREDENTIALS", "token_2",
        "PGPASSWORD", "MYSQL_PWD", "db_pwd", "pwd", "account_key", "AccountKey", "SharedAccessKey",
        "auth_header", "connection_string", "AZURE_STORAGE_KEY", "DB_PASS", "authToken",
    ],
)  # fmt: skip
def test_secret_names(name: str) -> None:
    """The words of a name tell, in every way of writing them."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens",
        "tokenizer",
        "n_tokens",
        "token_dropout",
        "pad_token",
        "key",
        "secretary",
        "",
        "PWD",
        "OLDPWD",
        "SSH_AUTH_SOCK",
        "n_pass",
        "signature",
        "sort_key",
    ],
)
def test_plain_names(name: str) -> None:
    """A hyperparameter's name isn't secret for containing part of a secret word."""
    assert not is_secret_name(name)


def test_environment_values_are_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment holds under a secret name goes, also when its shape says nothing."""
    monkeypatch.setenv("SOME_PASSWORD", "correct horse battery")
    monkeypatch.setenv("OTHER_PASSWORD", "correct horse")
    monkeypatch.setenv("SHORT_PASSWORD", "and")
    monkeypatch.setenv("PLAIN_NAME", "staple gun")
    assert redact("a correct horse battery and staple gun") == "a [redacted] and staple gun"
    assert "correct horse" in secret_values()


def test_known_secrets_replace_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given values are used instead of a look at the environment."""
    monkeypatch.setenv("SOME_PASSWORD", "correct horse battery")
    assert redact("correct horse battery, abc", ["abc"]) == "correct horse battery, [redacted]"


def test_only_text_is_a_credential() -> None:
    """A number under a secret name is a hyperparameter, and an empty text hides nothing."""
    assert redact_value("token", 3) == 3
    assert redact_value("secret", None) is None
    assert redact_value("password", "") == ""
    assert redact_value("password", "x") == "[redacted]"
    assert redact_value("note", "password=hunter2") == "password=[redacted]"


@given(st.text() | st.text(alphabet="tokenpaswrdkey=:'\"/@ \\[]-.1a", max_size=60))
def test_twice_is_once(text: str) -> None:
    """Redacting what is redacted changes nothing, whatever the text."""
    once = redact(text, ())
    assert redact(once, ()) == once


@pytest.mark.parametrize(
    "text",
    [
        *("a" * 200_000, "key=" * 50_000, "://" + ":" * 50_000, "'" * 100_000 + "key"),
        *("://a:b/" * 20_000, "-----BEGIN PRIVATE KEY-----" * 5000, "://" + "hooks/a" * 20_000),
        *("cookie: a=" * 20_000, "authorization: " * 10_000, "?sig=" * 30_000, "://1a" * 30_000),
    ],
    ids=lambda text: text[:16],  # all of it would be sent between the processes of a run
)
def test_time_is_linear(text: str) -> None:
    """No text makes it hang: an objective may print anything."""
    began = time.perf_counter()
    redact(text, ())
    assert time.perf_counter() - began < 5
