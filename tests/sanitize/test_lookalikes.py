"""Code, configuration, logs and prose that mention credentials and hold none."""

from __future__ import annotations

import json

import pytest

from tracesidecar.sanitize.sanitizer import Sanitizer

LINES = (
    r"""
UserTokenProvider tokenProvider = new UserTokenProvider(context);
const tokens = tokenizer.encode("hello world 123");
key: node.example.internal:8080
password: ${DB_PASSWORD}
password = getpass.getpass("Password: ")
password: str = Field(..., min_length=8)
password = request.form['password']
def login(username: str, password: str) -> Token:
self.password = password
if not password: raise ValueError("password must not be empty")
"password": "Passwort vergessen?"
password: { type: String, required: true, minlength: 8 }
passwordLabel = "Enter your password"
"password.reset.title": "Reset your password"
labels: { password: 'Password', confirmPassword: 'Confirm password' }
<input type="password" name="password" placeholder="Your password">
msgid "Wrong password"
api_key=os.environ["OPENAI_API_KEY"]
api_key = os.getenv("OPENAI_API_KEY")
const apiKey = process.env.API_KEY!;
apiKey: config.get('apiKey')
token = Token(type=TokenType.IDENT, value="x1")
token = tokens[i + 1]
next_token = self.peek_token()
secret = k8s.V1Secret(metadata=meta)
secret_key_ref: { name: app-secrets, key: db-password }
secretKeyRef:
valueFrom: secretKeyRef: name: db-credentials key: password
public static final String PASSWORD_KEY = "user.password";
#define TOKEN_EOF 0x1000
PASSWORD_MIN_LENGTH = 12
password_hasher = Argon2Hasher()
"tokenUrl": "https://api.example.com/oauth/token"
csrf_token: {{ csrf_token() }}
<input type="hidden" name="csrfmiddlewaretoken" value="{% csrf_token %}">
Authorization: Bearer <token>
Authorization: Bearer YOUR_ACCESS_TOKEN
-H "Authorization: Bearer $TOKEN"
-H "X-API-Key: ${API_KEY}"
curl -u "$USER:$PASS" https://x.example
curl -u user https://x.example
mysql -u root -p shop
docker login -u me -p $PASS
postgres://${USER}:${PASS}@host/db
redis://localhost:6379/0
git@github.com:acme/app.git
https://user@host.example/path
"integrity": "sha512-v2kDEe57lecTulaDIuNTPy3Ry4gLGJ6Z1O3vE1krgXZNrsQ+"""
    r"""LFTGHVxVjcXPs17LhbZVGedAJv8XZ1tvj5FvSg=="
"sha": "d670460b4b4aece5915caf5c68d12f560a9fe3e4"
key = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
cache_key = f"user:{user_id}:profile"
primary_key = "user_id_2024"
foreign_key: orders_customer_id_fkey1
sort_key = lambda x: x.created_at
"idempotency_key": "8e03978e-40d5-43e8-bc93-6894a57f9324"
s3_key = "uploads/2024/11/report-final-v2.pdf"
object_key: backups/db-2024-11-02T10-11-12.tar.gz
kms_key_id = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ssh_key_name = "deploy-prod-2024"
public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHx me@host"
key_vault_name = "kv-prod-westeurope-01"
keystore.type=PKCS12
app.keystore.file=env/cert.p12
jwt.issuer=https://issuer.example.org
auth: { type: oauth2, flow: authorization_code }
auth_backend = "django.contrib.auth.backends.ModelBackend"
auth_url = "https://example.org/login?next=/home"
AUTH_USER_MODEL = "accounts.CustomUser1"
oauth_callback: http://localhost:3000/callback
credentials: 'same-origin'
credentials: "include"
withCredentials: true
fetch(url, { credentials: 'same-origin', headers })
credentials = Credentials.from_service_account_file("sa.json")
credentials_path = "/etc/gcloud/sa-2024.json"
cookie: oatmeal and raisin
cookie_policy = "strict-origin-2"
document.cookie = name + "=" + value
The secret to good pasta is salt: use plenty.
Password: the word that opens the door.
His password was changed, token revoked: see ticket 1234.
Note: password must contain at least 8 characters, one number and one symbol
token: string; secret: string; password: string
type Token = { kind: string; value: string }
token: &str, secret: &[u8], password: String
func NewToken(secret []byte, password string) (*Token, error)
int token = 5; char *password = NULL;
password := r.FormValue("password")
password, err := bcrypt.GenerateFromPassword(pw, 12)
$password = $_POST['password'];
$pass = md5($salt . $pass);
password VARCHAR(255) NOT NULL
`password` varchar(255) DEFAULT NULL,
SELECT id, password FROM users WHERE email = 'a@b.example'
UPDATE users SET password = ? WHERE id = ?
assert password == expected_password
assert resp.json()["token"] == token
expect(screen.getByLabelText('Password')).toBeInTheDocument()
it("rejects a wrong password", async () => {
mock_secret = MagicMock()
test_password = fixture_password
password: process.env.DB_PASSWORD || ''
key: "value"
keys: ["id", "name"]
"tokens": 1234, "token_count": 99
max_tokens=4096, temperature=0.2
tokens_used: 8123
stop_token_ids=[151643, 151645]
pad_token="<|endoftext|>"
"secret": false, "password": null
passphrase: (empty for no passphrase)
Enter passphrase (empty for no passphrase):
Enter same passphrase again:
gpg: key 4AEE18F83AFDEB23 marked as ultimately trusted
error: secret "db-credentials" not found
secret/db-credentials created
Error from server (NotFound): secrets "tls-cert-2024" not found
sudo: a password is required
fatal: Authentication failed for 'https://github.com/acme/app.git/'
ERROR 1045 (28000): Access denied for user 'root'@'localhost' (using password: YES)
FATAL:  password authentication failed for user "postgres"
src/auth/token.ts:42:13 - error TS2322
import { Token } from './token';
from secrets import token_hex
use std::collections::HashMap; // key: String
tests/test_password.py::test_hash PASSED
def test_token_refresh(client, token):
 - password-stdin
--password-stdin
--token-file=/run/secrets/token
--secret id=npm,src=.npmrc
kubectl create secret generic db --from-file=password.txt
aws secretsmanager get-secret-value --secret-id prod/db
vault kv get -field=password secret/prod/db
gh secret set NPM_TOKEN --body "$NPM_TOKEN"
secrets.GITHUB_TOKEN
token: ${{ secrets.GITHUB_TOKEN }}
password: '{{ vault_db_password }}'
password: !vault |
password: "{{ lookup('env', 'PW') }}"
password = var.db_password
password = random_password.db.result
secret_id = aws_secretsmanager_secret.db.id
token = data.aws_eks_cluster_auth.this.token
api_token = "${var.cloudflare_token}"
master_password = module.db.master_password
<PasswordField value={password} onChange={setPassword} />
<Text key="password-1">Password</Text>
<string name="password_hint">Password hint</string>
android:inputType="textPassword"
[ValidateAntiForgeryToken]
@Value("${app.jwt.secret}") private String secret;
private final TokenService tokenService;
new PasswordEncoder() { public String encode(CharSequence rawPassword) {
@Column(name = "password_hash", length = 60)
- API key: see the vault
API Key | string | yes | Your key
| token | string | The bearer token |
X-Request-Id: 7b9f3a0e6f7d4e1bb2b0e5a6a9f1c2d3
ETag: "33a64df551425fcc55e4d42a148795d9f25f89d4"
x-amz-request-id: 4442587FB7D0A2F9
traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
docker pull nginx@sha256:4c0fdaa8b6341bfdeca5f18f7837462c80cff90527ee35ef185571e1c327beac
resolved "https://registry.yarnpkg.com/a/-/a-1.0.0.tgz#8f1d1d2d3c4b5a69788796a5b4c3d2e1f0a9b8c7"
github_sha: 43fc912ef59a83054ea7f6706df4d53a7dea4d80
gitlab_commit = "43fc912ef59a83054ea7f6706df4d53a7dea4d80"
sentry_release = 43fc912ef59a83054ea7f6706df4d53a7dea4d80
discord_channel_id = "712345678901234567"
stripe_price: price_1MoBy5LkdIwHu7ixZhnattbh
slack_channel: C024BE91L
"""
)


@pytest.mark.parametrize("line", LINES.strip().split("\n"))
def test_text_about_credentials_is_not_redacted(secrets_only: Sanitizer, line: str) -> None:
    for value in ({"out": line}, {"nested": json.dumps({"out": f"1\n{line}\n2"})}):
        raw = json.dumps(value).encode()
        assert secrets_only.redact_line(raw) == raw
