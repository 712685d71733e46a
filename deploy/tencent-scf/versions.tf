terraform {
  required_version = ">= 1.5"
  required_providers {
    tencentcloud = {
      source = "tencentcloudstack/tencentcloud"
      # The first with tencentcloud_scf_trigger.
      version = ">= 1.83.16"
    }
  }
}

# Credentials: TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY of the person who deploys.
provider "tencentcloud" {
  region = var.region
}
