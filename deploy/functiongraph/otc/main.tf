# Webhooks to a queue on Open Telekom Cloud's FunctionGraph: a forwarder behind a dedicated API gateway, and
# with `spill` a bucket for what the queue does not take in time and a function that sends it every minute.
# docs/otc-huawei-cloud.md.

locals {
  package = var.kind == "http" ? "functiongraph-http-${var.function}" : "event-${var.function}"
  bucket  = "${var.name}-spill-${substr(var.project_id, 0, 8)}"

  # The Swiss cloud has names of its own.
  is_swiss = var.region == "eu-ch2"
  domain   = local.is_swiss ? "${var.region}.sc.otc.t-systems.com" : "${var.region}.otc.t-systems.com"
  auth_url = local.is_swiss ? "https://iam-pub.${local.domain}/v3" : "https://iam.${local.domain}/v3"

  is_encrypted = var.spill && var.kms_id != null && var.kms_id != ""
  kms_roles    = length(var.kms_roles) > 0 ? var.kms_roles : opentelekomcloud_identity_role_v3.key[*].display_name

  # The agency's temporary keys reach a custom function with each event, an http function in each request.
  environment = merge(
    var.function == "rocketmq" ? {
      HUAWEICLOUD_SDK_PROJECT_ID = var.project_id
      ROCKETMQ_ENDPOINT          = "https://dms.${local.domain}"
      ROCKETMQ_INSTANCE_ID       = var.rocketmq_instance_id
    } : {},
    var.spill ? { SPILL_URL = "s3://${local.bucket}", S3_ENDPOINT = "https://obs.${local.domain}" } : {},
    var.environment,
  )
  forwarder_environment = merge(local.environment, var.kind == "http" ? { TRUST_PLATFORM_HEADERS = "functiongraph" } : {})
  secrets               = merge(var.queue_secrets, var.hook_secrets)
}

# Names of variables that FunctionGraph keeps for itself, with * at the end for a beginning: docs/limits.md.
locals {
  reserved = [
    "RUNTIME_PROJECT_ID", "RUNTIME_FUNC_NAME", "RUNTIME_FUNC_VERSION", "RUNTIME_PACKAGE", "RUNTIME_HANDLER",
    "RUNTIME_TIMEOUT", "RUNTIME_USERDATA", "RUNTIME_CPU", "RUNTIME_MEMORY", "RUNTIME_MAX_RESP_BODY_SIZE",
    "RUNTIME_INITIALIZER_HANDLER", "RUNTIME_INITIALIZER_TIMEOUT", "RUNTIME_ROOT", "RUNTIME_CODE_ROOT",
    "RUNTIME_LOG_DIR", "RUNTIME_API_ADDR",
  ]
  names = keys(merge(local.forwarder_environment, local.secrets))
  wrong_names = [for name in local.names : name if !can(regex("^[a-zA-Z][a-zA-Z0-9_]*$", name)) || anytrue([
    for form in local.reserved : endswith(form, "*") ? startswith(name, trimsuffix(form, "*")) : name == form
  ])]
}

# What the functions may do. A policy for OBS counts only in two forms: for global services, and for the projects of
# regions. Earlier modules made the second alone.

locals {
  layers = toset(var.spill ? ["domain", "project"] : [])
}

moved {
  from = opentelekomcloud_identity_role_v3.forwarder[0]
  to   = opentelekomcloud_identity_role_v3.forwarder["project"]
}

moved {
  from = opentelekomcloud_identity_role_v3.redrive[0]
  to   = opentelekomcloud_identity_role_v3.redrive["project"]
}

resource "opentelekomcloud_identity_role_v3" "forwarder" {
  provider      = opentelekomcloud.domain
  for_each      = local.layers
  display_name  = "${var.name}-forwarder${each.value == "domain" ? "-global" : ""}"
  description   = "hookmq: writes what could not be sent"
  display_layer = each.value
  statement {
    effect   = "Allow"
    action   = ["obs:object:PutObject"]
    resource = ["OBS:*:*:object:${local.bucket}/*"]
  }
  # Marks of deliveries that were sent. Without ListBucket a mark that is not there is a 403.
  statement {
    effect   = "Allow"
    action   = ["obs:object:GetObject"]
    resource = ["OBS:*:*:object:${local.bucket}/sent/*"]
  }
  statement {
    effect   = "Allow"
    action   = ["obs:bucket:ListBucket"]
    resource = ["OBS:*:*:bucket:${local.bucket}"]
  }
}

resource "opentelekomcloud_identity_role_v3" "redrive" {
  provider      = opentelekomcloud.domain
  for_each      = local.layers
  display_name  = "${var.name}-redrive${each.value == "domain" ? "-global" : ""}"
  description   = "hookmq: reads and deletes what was spilled"
  display_layer = each.value
  statement {
    effect   = "Allow"
    action   = ["obs:object:PutObject", "obs:object:GetObject", "obs:object:DeleteObject"]
    resource = ["OBS:*:*:object:${local.bucket}/*"]
  }
  statement {
    effect   = "Allow"
    action   = ["obs:bucket:ListBucket"]
    resource = ["OBS:*:*:bucket:${local.bucket}"]
  }
}

# Who writes into an encrypted bucket, or reads from it, uses its key: the least that the provider's documents name.
resource "opentelekomcloud_identity_role_v3" "key" {
  provider      = opentelekomcloud.domain
  count         = local.is_encrypted && length(var.kms_roles) == 0 ? 1 : 0
  display_name  = "${var.name}-key"
  description   = "hookmq: uses the key of the bucket"
  display_layer = "project" # KMS is a service of a region.
  statement {
    effect = "Allow"
    action = ["kms:cmk:list", "kms:cmk:get"]
  }
  statement {
    effect   = "Allow"
    action   = ["kms:cmk:generate", "kms:dek:create", "kms:cmk:crypto", "kms:dek:crypto"]
    resource = ["KMS:*:*:KeyId:${var.kms_id}"]
  }
}

# It may take some minutes until an agency counts.
resource "opentelekomcloud_identity_agency_v3" "forwarder" {
  provider              = opentelekomcloud.domain
  name                  = "${var.name}-forwarder"
  description           = "hookmq: sends, and writes what could not be sent"
  delegated_domain_name = "op_svc_cff"
  dynamic "project_role" {
    for_each = var.function == "rocketmq" ? [1] : []
    content {
      project = var.project_name
      roles   = var.dms_roles
    }
  }
  # All projects, and so global services, too.
  dynamic "project_role" {
    for_each = var.spill ? [1] : []
    content {
      all_projects = true
      roles        = [for role in opentelekomcloud_identity_role_v3.forwarder : role.display_name]
    }
  }
  # Who writes into the bucket uses its key.
  dynamic "project_role" {
    for_each = local.is_encrypted ? [1] : []
    content {
      project = var.region
      roles   = local.kms_roles
    }
  }
  lifecycle {
    precondition {
      condition     = var.spill || var.function == "rocketmq"
      error_message = "Without spill, the tdmq function needs no agency, and an agency without roles is refused. Set spill = true."
    }
  }
}

resource "opentelekomcloud_identity_agency_v3" "redrive" {
  provider              = opentelekomcloud.domain
  count                 = var.spill ? 1 : 0
  name                  = "${var.name}-redrive"
  description           = "hookmq: sends what was spilled, and deletes it then"
  delegated_domain_name = "op_svc_cff"
  dynamic "project_role" {
    for_each = var.function == "rocketmq" ? [1] : []
    content {
      project = var.project_name
      roles   = var.dms_roles
    }
  }
  project_role {
    all_projects = true
    roles        = [for role in opentelekomcloud_identity_role_v3.redrive : role.display_name]
  }
  dynamic "project_role" {
    for_each = local.is_encrypted ? [1] : []
    content {
      project = var.region
      roles   = local.kms_roles
    }
  }
}

# Where acknowledged deliveries wait: versioned, encrypted, private, and nothing that waits expires.

resource "opentelekomcloud_obs_bucket" "spill" {
  count      = var.spill ? 1 : 0
  bucket     = local.bucket
  acl        = "private"
  versioning = true
  # OBS of this cloud encrypts by a key that is named, and by no other way.
  dynamic "server_side_encryption" {
    for_each = local.is_encrypted ? [1] : []
    content {
      algorithm  = "kms"
      kms_key_id = var.kms_id
    }
  }
  lifecycle_rule {
    name    = "claims"
    enabled = true
    prefix  = "claims/"
    expiration {
      days = var.claim_days
    }
    noncurrent_version_expiration {
      days = 1
    }
  }
  lifecycle_rule {
    name    = "sent"
    enabled = true
    prefix  = "sent/"
    expiration {
      days = 8
    }
    noncurrent_version_expiration {
      days = 1
    }
  }
  # What each start tries the bucket with.
  lifecycle_rule {
    name    = "probe"
    enabled = true
    prefix  = "probe/"
    expiration {
      days = 1
    }
    noncurrent_version_expiration {
      days = 1
    }
  }
  # Where QUARANTINE_URL names this bucket too.
  lifecycle_rule {
    name    = "quarantine"
    enabled = true
    prefix  = "quarantine/"
    expiration {
      days = 14
    }
  }
  # What was deleted by mistake can be had again for a month; of what is written again and again, a day is kept.
  lifecycle_rule {
    name    = "deleted"
    enabled = true
    prefix  = "spill/"
    noncurrent_version_expiration {
      days = 30
    }
  }
  lifecycle_rule {
    name    = "dead"
    enabled = true
    prefix  = "dead/"
    noncurrent_version_expiration {
      days = 30
    }
  }
  lifecycle_rule {
    name    = "states"
    enabled = true
    prefix  = "retry/"
    noncurrent_version_expiration {
      days = 1
    }
  }
  lifecycle {
    prevent_destroy = true
    precondition {
      condition     = var.kms_id != null
      error_message = "kms_id: is not set: write the key that encrypts the bucket, or \"\" to leave the bucket unencrypted on purpose."
    }
  }
}

# Logs.

resource "opentelekomcloud_lts_group_v2" "logs" {
  group_name  = var.name
  ttl_in_days = var.log_days
}

resource "opentelekomcloud_lts_stream_v2" "logs" {
  group_id    = opentelekomcloud_lts_group_v2.logs.id
  stream_name = var.name
}

# The forwarder. Its secrets are stored encrypted, and the function alone sees them.

resource "opentelekomcloud_fgs_function_v2" "forwarder" {
  name          = "${var.name}-${var.function}"
  app           = "default"
  description   = "Webhooks to a queue"
  runtime       = var.kind == "http" ? "http" : "Custom"
  handler       = "bootstrap"
  code_type     = "zip"
  code_filename = "${local.package}.zip"
  func_code     = filebase64("${var.packages}/${local.package}.zip")
  memory_size   = var.memory
  timeout       = var.timeout
  agency        = opentelekomcloud_identity_agency_v3.forwarder.name
  app_agency    = opentelekomcloud_identity_agency_v3.forwarder.name

  user_data           = jsonencode(local.forwarder_environment)
  encrypted_user_data = jsonencode(local.secrets)

  # "Include Keys". An instance of a custom function takes one event at a time.
  enable_auth_in_header = var.kind == "http"
  concurrency_num       = var.kind == "http" ? var.concurrency : 1
  max_instance_num      = tostring(var.max_instances)

  log_group_id   = opentelekomcloud_lts_group_v2.logs.id
  log_group_name = opentelekomcloud_lts_group_v2.logs.group_name
  log_topic_id   = opentelekomcloud_lts_stream_v2.logs.id
  log_topic_name = opentelekomcloud_lts_stream_v2.logs.stream_name

  # FunctionGraph takes 20 variables and 20 encrypted ones, and 4 KB of each. The redriver has no more than these.
  lifecycle {
    precondition {
      condition     = length(local.forwarder_environment) <= 20 && length(jsonencode(local.forwarder_environment)) <= 4096
      error_message = "environment: FunctionGraph takes 20 variables and 4 KB in all, the module's own included: shorten it."
    }
    precondition {
      condition     = length(local.secrets) <= 20 && length(jsonencode(local.secrets)) <= 4096
      error_message = "hook_secrets, queue_secrets: FunctionGraph takes 20 encrypted variables and 4 KB in all: hold several secrets in one variable as a JSON object, and name them env:NAME#KEY."
    }
    precondition {
      condition     = length(local.wrong_names) == 0
      error_message = "environment, hook_secrets, queue_secrets: FunctionGraph takes names of letters, digits and _, from a letter on, and keeps some for itself (docs/limits.md): use others."
    }
  }
}

resource "opentelekomcloud_apigw_group_v2" "hooks" {
  instance_id = var.gateway_id
  name        = var.name
  description = "Webhooks to a queue"
}

# The gateway gives the group its domain, which no rule makes from the region.
data "opentelekomcloud_apigw_groups_v2" "hooks" {
  instance_id = var.gateway_id
  group_id    = opentelekomcloud_apigw_group_v2.hooks.id
}

locals {
  host = data.opentelekomcloud_apigw_groups_v2.hooks.groups[0].sl_domain

  # Without authentication: each hook verifies its requests itself.
  gateway = {
    name         = replace(var.name, "-", "_")
    instance_id  = var.gateway_id
    group_id     = opentelekomcloud_apigw_group_v2.hooks.id
    group_name   = opentelekomcloud_apigw_group_v2.hooks.name
    env_id       = "DEFAULT_ENVIRONMENT_RELEASE_ID"
    env_name     = "RELEASE"
    auth         = "NONE"
    protocol     = "HTTPS"
    type         = 1
    path         = "/"
    match_mode   = "SWA"
    req_method   = "ANY"
    backend_type = "FUNCTION"
    sl_domain    = local.host
    func_info = {
      function_urn    = opentelekomcloud_fgs_function_v2.forwarder.urn
      invocation_type = "sync"
      version         = "latest"
      timeout         = var.timeout * 1000
    }
  }
}

# FunctionGraph completes a trigger's event data, and updates almost none of it. So what it answers is not compared,
# and a trigger is replaced where what was asked for changes.
resource "terraform_data" "gateway" {
  input = local.gateway
}

resource "opentelekomcloud_fgs_trigger_v2" "gateway" {
  function_urn = opentelekomcloud_fgs_function_v2.forwarder.urn
  type         = "DEDICATEDGATEWAY"
  status       = "ACTIVE"
  event_data   = jsonencode(local.gateway)
  lifecycle {
    ignore_changes       = [event_data]
    replace_triggered_by = [terraform_data.gateway]
  }
}

# The redriver: a custom function, because an http function has no timer. One of each shard at a time: two at once
# lose nothing, but send twice. A run ends before the next of its shard is due.

resource "opentelekomcloud_fgs_function_v2" "redrive" {
  count         = var.spill ? 1 : 0
  name          = "${var.name}-redrive"
  app           = "default"
  description   = "Spilled deliveries to their queue"
  runtime       = "Custom"
  handler       = "bootstrap"
  code_type     = "zip"
  code_filename = "event-redrive.zip"
  func_code     = filebase64("${var.packages}/event-redrive.zip")
  memory_size   = 128
  timeout       = 55
  agency        = opentelekomcloud_identity_agency_v3.redrive[0].name
  app_agency    = opentelekomcloud_identity_agency_v3.redrive[0].name

  user_data = jsonencode(local.environment)
  # The hooks' secrets too: one that is not whole has neither its dedupe nor its references to large bodies.
  encrypted_user_data = jsonencode(local.secrets)
  max_instance_num    = tostring(var.redrive_shards)

  log_group_id   = opentelekomcloud_lts_group_v2.logs.id
  log_group_name = opentelekomcloud_lts_group_v2.logs.group_name
  log_topic_id   = opentelekomcloud_lts_stream_v2.logs.id
  log_topic_name = opentelekomcloud_lts_stream_v2.logs.stream_name
}

# One for each shard, which the event's user_event names.
resource "terraform_data" "timer" {
  count = var.spill ? var.redrive_shards : 0
  input = {
    name          = "every_minute_${count.index}"
    schedule_type = "Rate"
    schedule      = "1m"
    user_event    = "${count.index}/${var.redrive_shards}"
  }
}

resource "opentelekomcloud_fgs_trigger_v2" "timer" {
  count        = var.spill ? var.redrive_shards : 0
  function_urn = opentelekomcloud_fgs_function_v2.redrive[0].urn
  type         = "TIMER"
  status       = "ACTIVE"
  event_data   = jsonencode(terraform_data.timer[count.index].input)
  lifecycle {
    ignore_changes       = [event_data]
    replace_triggered_by = [terraform_data.timer[count.index]]
  }
}
