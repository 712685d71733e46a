# Webhooks to a queue on Huawei Cloud's FunctionGraph: a forwarder behind a dedicated API gateway, and
# with `spill` a bucket for what the queue does not take in time and a function that sends it every minute.
# docs/otc-huawei-cloud.md.

locals {
  package = var.kind == "http" ? "functiongraph-http-${var.function}" : "event-${var.function}"
  bucket  = "${var.name}-spill-${substr(var.project_id, 0, 8)}"
  # As the provider itself knows it.
  domain = coalesce(var.domain, startswith(var.region, "eu-west-1") ? "myhuaweicloud.eu" : "myhuaweicloud.com")

  # The agency's temporary keys reach a custom function with each event, an http function in each request.
  environment = merge(
    var.function == "rocketmq" ? {
      HUAWEICLOUD_SDK_PROJECT_ID = var.project_id
      ROCKETMQ_ENDPOINT          = "https://dms.${var.region}.${local.domain}"
      ROCKETMQ_INSTANCE_ID       = var.rocketmq_instance_id
    } : {},
    var.spill ? { SPILL_URL = "s3://${local.bucket}", S3_ENDPOINT = "https://obs.${var.region}.${local.domain}" } : {},
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

# What the functions may do.

resource "huaweicloud_identity_role" "forwarder" {
  count       = var.spill ? 1 : 0
  name        = "${var.name}-forwarder"
  description = "hookmq: writes what could not be sent"
  type        = "AX"
  policy = jsonencode({
    Version = "1.1"
    Statement = [
      { Effect = "Allow", Action = ["obs:object:PutObject"], Resource = ["OBS:*:*:object:${local.bucket}/*"] },
      # Marks of deliveries that were sent. Without ListBucket a mark that is not there is a 403.
      { Effect = "Allow", Action = ["obs:object:GetObject"], Resource = ["OBS:*:*:object:${local.bucket}/sent/*"] },
      { Effect = "Allow", Action = ["obs:bucket:ListBucket"], Resource = ["OBS:*:*:bucket:${local.bucket}"] },
    ]
  })
}

resource "huaweicloud_identity_role" "redrive" {
  count       = var.spill ? 1 : 0
  name        = "${var.name}-redrive"
  description = "hookmq: reads and deletes what was spilled"
  type        = "AX"
  policy = jsonencode({
    Version = "1.1"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["obs:object:PutObject", "obs:object:GetObject", "obs:object:DeleteObject"]
        Resource = ["OBS:*:*:object:${local.bucket}/*"]
      },
      { Effect = "Allow", Action = ["obs:bucket:ListBucket"], Resource = ["OBS:*:*:bucket:${local.bucket}"] },
    ]
  })
}

# It may take some minutes until an agency counts.
resource "huaweicloud_identity_agency" "forwarder" {
  name                  = "${var.name}-forwarder"
  description           = "hookmq: sends, and writes what could not be sent"
  delegated_domain_name = "op_svc_cff"
  domain_roles          = huaweicloud_identity_role.forwarder[*].name
  dynamic "project_role" {
    for_each = var.function == "rocketmq" ? [1] : []
    content {
      project = var.project_name
      roles   = var.dms_roles
    }
  }
  lifecycle {
    precondition {
      condition     = var.spill || var.function == "rocketmq"
      error_message = "Without spill, the tdmq function needs no agency, and an agency without roles is refused. Set spill = true."
    }
  }
}

resource "huaweicloud_identity_agency" "redrive" {
  count                 = var.spill ? 1 : 0
  name                  = "${var.name}-redrive"
  description           = "hookmq: sends what was spilled, and deletes it then"
  delegated_domain_name = "op_svc_cff"
  domain_roles          = [huaweicloud_identity_role.redrive[0].name]
  dynamic "project_role" {
    for_each = var.function == "rocketmq" ? [1] : []
    content {
      project = var.project_name
      roles   = var.dms_roles
    }
  }
}

# Where acknowledged deliveries wait: versioned, encrypted, private, and nothing that waits expires.

resource "huaweicloud_obs_bucket" "spill" {
  count      = var.spill ? 1 : 0
  bucket     = local.bucket
  acl        = "private"
  versioning = true
  encryption = true
  # By a key of OBS itself. Without this it is one of KMS, which the agencies' policies would have to name.
  sse_algorithm = "AES256"
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
  }
}

# Logs.

resource "huaweicloud_lts_group" "logs" {
  group_name  = var.name
  ttl_in_days = var.log_days
}

resource "huaweicloud_lts_stream" "logs" {
  group_id    = huaweicloud_lts_group.logs.id
  stream_name = var.name
}

# The forwarder. Its secrets are stored encrypted, and the function alone sees them.

resource "huaweicloud_fgs_function" "forwarder" {
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
  agency        = huaweicloud_identity_agency.forwarder.name
  app_agency    = huaweicloud_identity_agency.forwarder.name

  user_data           = jsonencode(local.forwarder_environment)
  encrypted_user_data = jsonencode(local.secrets)

  # "Include Keys". An instance of a custom function takes one event at a time.
  enable_auth_in_header = var.kind == "http"
  concurrency_num       = var.kind == "http" ? var.concurrency : 1
  max_instance_num      = tostring(var.max_instances)

  enable_lts_log  = true
  log_group_id    = huaweicloud_lts_group.logs.id
  log_group_name  = huaweicloud_lts_group.logs.group_name
  log_stream_id   = huaweicloud_lts_stream.logs.id
  log_stream_name = huaweicloud_lts_stream.logs.stream_name

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

resource "huaweicloud_apig_group" "hooks" {
  instance_id = var.gateway_id
  name        = var.name
  description = "Webhooks to a queue"
}

# The gateway gives the group its domain, which no rule makes from the region.
data "huaweicloud_apig_groups" "hooks" {
  instance_id = var.gateway_id
  group_id    = huaweicloud_apig_group.hooks.id
}

locals {
  host = data.huaweicloud_apig_groups.hooks.groups[0].sl_domain

  # Without authentication: each hook verifies its requests itself.
  gateway = {
    name         = replace(var.name, "-", "_")
    instance_id  = var.gateway_id
    group_id     = huaweicloud_apig_group.hooks.id
    group_name   = huaweicloud_apig_group.hooks.name
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
      function_urn    = huaweicloud_fgs_function.forwarder.urn
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

resource "huaweicloud_fgs_function_trigger" "gateway" {
  function_urn = huaweicloud_fgs_function.forwarder.urn
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

resource "huaweicloud_fgs_function" "redrive" {
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
  agency        = huaweicloud_identity_agency.redrive[0].name
  app_agency    = huaweicloud_identity_agency.redrive[0].name

  user_data = jsonencode(local.environment)
  # The hooks' secrets too: one that is not whole has neither its dedupe nor its references to large bodies.
  encrypted_user_data = jsonencode(local.secrets)
  max_instance_num    = tostring(var.redrive_shards)

  enable_lts_log  = true
  log_group_id    = huaweicloud_lts_group.logs.id
  log_group_name  = huaweicloud_lts_group.logs.group_name
  log_stream_id   = huaweicloud_lts_stream.logs.id
  log_stream_name = huaweicloud_lts_stream.logs.stream_name
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

resource "huaweicloud_fgs_function_trigger" "timer" {
  count        = var.spill ? var.redrive_shards : 0
  function_urn = huaweicloud_fgs_function.redrive[0].urn
  type         = "TIMER"
  status       = "ACTIVE"
  event_data   = jsonencode(terraform_data.timer[count.index].input)
  lifecycle {
    ignore_changes       = [event_data]
    replace_triggered_by = [terraform_data.timer[count.index]]
  }
}
